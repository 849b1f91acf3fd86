/* SPDX-License-Identifier: Apache-2.0 */
/* Forward and backward of the whole model, and the memory they work in; see model.h. */
#include "model.h"

#include <stdint.h>
#include <stdlib.h>

#include "layers.h"

/* Take `count` reals from the model's memory; with base NULL only the sum is made. */
static real *take(real *base, size_t *used, size_t count)
{
    const size_t unit = DT_ALIGN / sizeof(real);
    real *at = base ? base + *used : NULL;
    *used += (count + unit - 1) / unit * unit;
    return at;
}

static void lay_out_layer(struct dt_kept *kept, real *base, size_t *used, size_t rows, size_t c,
                          size_t heads)
{
    kept->norm1 = take(base, used, rows * c);
    kept->mean1 = take(base, used, rows);
    kept->inverse1 = take(base, used, rows);
    kept->qkv = take(base, used, rows * 3 * c);
    kept->log_sum = take(base, used, rows * heads);
    kept->attended = take(base, used, rows * c);
    kept->middle = take(base, used, rows * c);
    kept->norm2 = take(base, used, rows * c);
    kept->mean2 = take(base, used, rows);
    kept->inverse2 = take(base, used, rows);
    kept->up = take(base, used, rows * 4 * c);
    kept->activated = take(base, used, rows * 4 * c);
    kept->out = take(base, used, rows * c);
}

static size_t lay_out(struct dt_model *model, real *base)
{
    const struct dt_model_config *config = &model->config;
    size_t used = 0, c = (size_t)config->channels, heads = (size_t)config->heads;
    size_t rows = model->max_batch * (size_t)config->seq;
    model->embedded = take(base, &used, rows * c);
    for (int i = 0; i < config->layers; i++)
        lay_out_layer(&model->kept[i], base, &used, rows, c, heads);
    model->norm = take(base, &used, rows * c);
    model->mean = take(base, &used, rows);
    model->inverse = take(base, &used, rows);
    model->d_stream = take(base, &used, rows * c);
    model->d_narrow = take(base, &used, rows * c);
    model->d_wide = take(base, &used, rows * 4 * c);
    model->work = take(base, &used,
                       dt_attention_work_size((size_t)config->seq) * (size_t)model->blas->threads);
    model->logits = take(base, &used, dt_loss_work_size(rows, (size_t)config->vocab));
    return used;
}

real *dt_reals(size_t count)
{
    if (count > SIZE_MAX / sizeof(real) / 2)
        return NULL;
    size_t bytes = (count * sizeof(real) + DT_ALIGN - 1) / DT_ALIGN * DT_ALIGN;
    real *at = aligned_alloc(DT_ALIGN, bytes);
    if (at)
        memset(at, 0, bytes);
    return at;
}

int dt_model_init(struct dt_model *model, const struct dt_model_config *config, size_t max_batch,
                  const struct dt_blas *blas, struct dt_error *err)
{
    *model = (struct dt_model){.config = *config, .blas = blas, .max_batch = max_batch};
    if (dt_layout_init(&model->layout, config, err) < 0)
        return -1;
    size_t total = model->layout.total;
    model->kept = calloc((size_t)config->layers, sizeof *model->kept);
    model->row_losses = calloc(max_batch * (size_t)config->seq, sizeof *model->row_losses);
    model->params = dt_reals(total);
    model->grads = dt_reals(total);
    if (model->kept) {
        model->memory_count = lay_out(model, NULL);
        model->memory = dt_reals(model->memory_count);
    }
    if (!model->kept || !model->row_losses || !model->params || !model->grads || !model->memory) {
        size_t mib = (2 * total + model->memory_count) * sizeof(real) >> 20;
        dt_model_fini(model);
        return dt_error_set(err,
                            "no memory for the model: it wants %zu MiB in this rank; take fewer "
                            "--layers or --channels, or a smaller --global-batch",
                            mib);
    }
    lay_out(model, model->memory);
    return 0;
}

void dt_model_fini(struct dt_model *model)
{
    free(model->params);
    free(model->grads);
    free(model->memory);
    free(model->kept);
    free(model->row_losses);
    dt_layout_fini(&model->layout);
    *model = (struct dt_model){0};
}

static void layer_forward(struct dt_model *model, int index, const real *in, size_t batch)
{
    const struct dt_layer w = dt_layout_layer(&model->layout, model->params, index);
    const struct dt_kept *k = &model->kept[index];
    const struct dt_blas *blas = model->blas;
    size_t time = (size_t)model->config.seq, c = (size_t)model->config.channels;
    size_t rows = batch * time, heads = (size_t)model->config.heads;
    dt_layernorm_forward(k->norm1, k->mean1, k->inverse1, in, w.norm1_weight, w.norm1_bias, rows,
                         c);
    dt_linear_forward(blas, k->qkv, k->norm1, w.qkv_weight, rows, c, 3 * c);
    dt_bias_add(k->qkv, w.qkv_bias, rows, 3 * c);
    dt_attention_forward(blas, k->attended, k->log_sum, k->qkv, model->work, batch, time, c, heads);
    dt_linear_forward(blas, model->d_narrow, k->attended, w.projection_weight, rows, c, c);
    dt_residual_add(k->middle, in, model->d_narrow, w.projection_bias, rows, c);
    dt_layernorm_forward(k->norm2, k->mean2, k->inverse2, k->middle, w.norm2_weight, w.norm2_bias,
                         rows, c);
    dt_linear_forward(blas, k->up, k->norm2, w.up_weight, rows, c, 4 * c);
    dt_gelu_forward(k->activated, k->up, w.up_bias, rows, 4 * c);
    dt_linear_forward(blas, model->d_narrow, k->activated, w.down_weight, rows, 4 * c, c);
    dt_residual_add(k->out, k->middle, model->d_narrow, w.down_bias, rows, c);
}

static void between(const struct dt_model_hooks *hooks)
{
    if (hooks)
        hooks->between(hooks->context);
}

static void bucket_ready(const struct dt_model_hooks *hooks, size_t bucket)
{
    if (hooks)
        hooks->bucket_ready(hooks->context, bucket);
}

/* d_stream: gradient of the layer's output on entry, of its input on return. */
static void layer_backward(struct dt_model *model, int index, const real *in, size_t batch,
                           const struct dt_model_hooks *hooks)
{
    const struct dt_layer w = dt_layout_layer(&model->layout, model->params, index);
    const struct dt_layer g = dt_layout_layer(&model->layout, model->grads, index);
    const struct dt_kept *k = &model->kept[index];
    const struct dt_blas *blas = model->blas;
    size_t time = (size_t)model->config.seq, c = (size_t)model->config.channels;
    size_t rows = batch * time, heads = (size_t)model->config.heads;
    real *stream = model->d_stream, *narrow = model->d_narrow, *wide = model->d_wide;
    dt_linear_backward(blas, wide, g.down_weight, g.down_bias, stream, k->activated, w.down_weight,
                       rows, 4 * c, c);
    dt_gelu_backward(wide, k->up, rows * 4 * c);
    between(hooks);
    dt_linear_backward(blas, narrow, g.up_weight, g.up_bias, wide, k->norm2, w.up_weight, rows, c,
                       4 * c);
    dt_layernorm_backward(stream, g.norm2_weight, g.norm2_bias, narrow, k->middle, w.norm2_weight,
                          k->mean2, k->inverse2, rows, c);
    between(hooks);
    dt_linear_backward(blas, narrow, g.projection_weight, g.projection_bias, stream, k->attended,
                       w.projection_weight, rows, c, c);
    dt_attention_backward(blas, wide, narrow, k->attended, k->log_sum, k->qkv, model->work, batch,
                          time, c, heads);
    between(hooks);
    dt_linear_backward(blas, narrow, g.qkv_weight, g.qkv_bias, wide, k->norm1, w.qkv_weight, rows,
                       c, 3 * c);
    dt_layernorm_backward(stream, g.norm1_weight, g.norm1_bias, narrow, in, w.norm1_weight,
                          k->mean1, k->inverse1, rows, c);
}

static const real *layer_input(const struct dt_model *model, int index)
{
    return index == 0 ? model->embedded : model->kept[index - 1].out;
}

static void forward(struct dt_model *model, const int *tokens, size_t batch)
{
    const struct dt_outer w = dt_layout_outer(&model->layout, model->params);
    size_t time = (size_t)model->config.seq, c = (size_t)model->config.channels;
    int layers = model->config.layers;
    dt_embedding_forward(model->embedded, tokens, w.token_table, w.position_table, batch, time, c);
    for (int i = 0; i < layers; i++)
        layer_forward(model, i, layer_input(model, i), batch);
    dt_layernorm_forward(model->norm, model->mean, model->inverse, layer_input(model, layers),
                         w.norm_weight, w.norm_bias, batch * time, c);
}

double dt_model_train(struct dt_model *model, const int *tokens, const int *targets, size_t batch,
                      double scale, const struct dt_model_hooks *hooks)
{
    const struct dt_outer w = dt_layout_outer(&model->layout, model->params);
    const struct dt_outer g = dt_layout_outer(&model->layout, model->grads);
    size_t time = (size_t)model->config.seq, c = (size_t)model->config.channels;
    size_t rows = batch * time;
    int layers = model->config.layers;
    forward(model, tokens, batch);
    double loss =
        dt_loss(model->blas, model->d_narrow, g.token_table, model->row_losses, model->logits,
                model->norm, w.token_table, targets, scale, rows, c, (size_t)model->config.vocab);
    memset(model->d_stream, 0, rows * c * sizeof(real));
    dt_layernorm_backward(model->d_stream, g.norm_weight, g.norm_bias, model->d_narrow,
                          layer_input(model, layers), w.norm_weight, model->mean, model->inverse,
                          rows, c);
    bucket_ready(hooks, (size_t)layers + 1);
    for (int i = layers; i-- > 0;) {
        layer_backward(model, i, layer_input(model, i), batch, hooks);
        bucket_ready(hooks, (size_t)i + 1);
    }
    dt_embedding_backward(g.token_table, g.position_table, model->d_stream, tokens, batch, time,
                          (size_t)model->config.seq, c);
    bucket_ready(hooks, 0);
    return loss;
}

double dt_model_evaluate(struct dt_model *model, const int *tokens, const int *targets,
                         size_t batch)
{
    const struct dt_outer w = dt_layout_outer(&model->layout, model->params);
    forward(model, tokens, batch);
    return dt_loss(model->blas, NULL, NULL, model->row_losses, model->logits, model->norm,
                   w.token_table, targets, 0, batch * (size_t)model->config.seq,
                   (size_t)model->config.channels, (size_t)model->config.vocab);
}

double dt_model_flops(const struct dt_model_config *config, double tokens)
{
    double c = config->channels, layers = config->layers;
    return 3 * tokens *
           (24 * c * c * layers + 2 * c * config->vocab + 4.0 * config->seq * c * layers);
}
