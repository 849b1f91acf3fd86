/* SPDX-License-Identifier: Apache-2.0 */
/* Forward and backward of one layer; see block.h. */
#include "block.h"

#include "kernels.h"
#include "tp.h"

void dt_norm_forward(const struct dt_kernels *kernels, const struct dt_model_config *config,
                     real *out, real *mean, real *inverse, const real *in, const real *weight,
                     const real *bias, size_t rows)
{
    size_t c = (size_t)config->channels;
    if (config->family == DT_FAMILY_LLAMA)
        kernels->rmsnorm_forward(out, inverse, in, weight, rows, c);
    else
        kernels->layernorm_forward(out, mean, inverse, in, weight, bias, rows, c);
}

void dt_norm_backward(const struct dt_kernels *kernels, const struct dt_model_config *config,
                      real *d_in, real *d_weight, real *d_bias, const real *d_out, const real *in,
                      const real *weight, const real *mean, const real *inverse, size_t rows,
                      bool add)
{
    size_t c = (size_t)config->channels;
    if (config->family == DT_FAMILY_LLAMA)
        kernels->rmsnorm_backward(d_in, d_weight, d_out, in, weight, inverse, rows, c, add);
    else
        kernels->layernorm_backward(d_in, d_weight, d_bias, d_out, in, weight, mean, inverse, rows,
                                    c, add);
}

/* Over the ranks that share each sample, where there are more than one. */
static void attend(struct dt_model *model, const struct dt_kept *k, size_t batch)
{
    const struct dt_attention_shape shape = dt_model_attention(model, batch);
    if (model->mesh->context->size == 1)
        model->blas->kernels->attention_forward(model->blas, k->attended, k->log_sum, k->qkv,
                                                model->work, &shape);
    else if (!model->failed)
        dt_model_note(model, dt_ring_forward(&model->ring, model->blas, k->attended, k->log_sum,
                                             k->qkv, model->work, &shape, &model->error));
}

static void attend_backward(struct dt_model *model, real *d_qkv, const real *d_out,
                            const struct dt_kept *k, size_t batch)
{
    const struct dt_attention_shape shape = dt_model_attention(model, batch);
    if (model->mesh->context->size == 1)
        model->blas->kernels->attention_backward(model->blas, d_qkv, d_out, k->attended, k->log_sum,
                                                 k->qkv, model->work, &shape);
    else if (!model->failed)
        dt_model_note(model,
                      dt_ring_backward(&model->ring, model->blas, d_qkv, d_out, k->attended,
                                       k->log_sum, k->qkv, model->work, &shape, &model->error));
}

/* Queries and keys lie side by side, so one call turns both. */
static void rotate(const struct dt_model *model, real *qkv, size_t batch, bool back)
{
    const struct dt_model_config *config = &model->config;
    if (config->family == DT_FAMILY_LLAMA)
        model->blas->kernels->rope(qkv, model->rope, batch, model->time,
                                   model->here.heads + model->here.kv_heads, model->here.head,
                                   model->here.qkv, back);
}

/* up_bias NULL: it is added already. */
static void activate(const struct dt_model *model, const struct dt_kept *k, const real *up_bias,
                     size_t rows)
{
    if (model->config.family == DT_FAMILY_LLAMA)
        model->blas->kernels->swiglu_forward(k->activated, k->up, rows, model->here.hidden);
    else
        model->blas->kernels->gelu_forward(k->activated, k->up, up_bias, rows, model->here.hidden);
}

/* out = in + activations * weight^T + bias, on the rows that are here; every rank of tp has some of
 * the weight's columns. */
static void add_product(struct dt_model *model, real *out, const real *in, const real *activations,
                        const real *weight, const real *bias, size_t rows, size_t inputs)
{
    size_t c = model->here.channels;
    dt_linear_forward(model->blas, model->d_narrow, activations, weight, rows, inputs, c);
    dt_tp_sum_start(model, model->d_narrow, rows);
    const real *sum = dt_tp_sum_finish(model, model->d_narrow, rows);
    model->blas->kernels->residual_add(out, in, sum, bias, dt_tp_rows(model, rows), c);
}

static void first_norm(struct dt_model *model, const struct dt_layer *w, const struct dt_kept *k,
                       const real *in, size_t rows)
{
    dt_norm_forward(model->blas->kernels, &model->config, k->norm1, k->mean1, k->inverse1, in,
                    w->norm1_weight, w->norm1_bias, dt_tp_rows(model, rows));
}

static void second_norm(struct dt_model *model, const struct dt_layer *w, const struct dt_kept *k,
                        size_t rows)
{
    dt_norm_forward(model->blas->kernels, &model->config, k->norm2, k->mean2, k->inverse2,
                    k->middle, w->norm2_weight, w->norm2_bias, dt_tp_rows(model, rows));
}

/* All of the layer but its last product. */
static void forward_inside(struct dt_model *model, const struct dt_layer *w,
                           const struct dt_kept *k, const real *in, size_t batch)
{
    const struct dt_widths *here = &model->here;
    const struct dt_blas *blas = model->blas;
    size_t c = here->channels, rows = batch * model->time;
    first_norm(model, w, k, in, rows);
    dt_linear_forward(blas, k->qkv, dt_tp_all(model, k->norm1, rows), w->qkv_weight, rows, c,
                      here->qkv);
    model->blas->kernels->bias_add(k->qkv, w->qkv_bias, rows, here->qkv);
    rotate(model, k->qkv, batch, false);
    attend(model, k, batch);
    add_product(model, k->middle, in, k->attended, w->projection_weight, w->projection_bias, rows,
                here->attended);
    second_norm(model, w, k, rows);
    if (k->experts)
        return;
    dt_linear_forward(blas, k->up, dt_tp_all(model, k->norm2, rows), w->up_weight, rows, c,
                      here->up);
    activate(model, k, w->up_bias, rows);
}

/* Up and down, and a bias each, are all of an expert. */
static struct dt_moe_weights experts_of(const struct dt_layer *layer)
{
    return (struct dt_moe_weights){layer->router_weight, layer->up_weight, layer->up_bias,
                                   layer->down_weight, layer->down_bias};
}

/* To d_narrow: this rank's part of what is added to the stream. */
static void mix(struct dt_model *model, const struct dt_layer *w, const struct dt_kept *k,
                size_t batch)
{
    const struct dt_moe_weights weights = experts_of(w);
    const real *in = dt_tp_all(model, k->norm2, batch * model->time);
    if (!model->failed)
        dt_model_note(model, dt_moe_forward(&model->moe, &weights, k->experts, model->d_narrow, in,
                                            batch, model->time, &model->error));
}

static void mix_again(struct dt_model *model, const struct dt_layer *w, const struct dt_kept *k,
                      size_t batch)
{
    double counted = model->moe.loss;
    mix(model, w, k, batch);
    model->moe.loss = counted;
}

static void experts_forward(struct dt_model *model, const struct dt_layer *w,
                            const struct dt_kept *k, size_t batch)
{
    size_t rows = batch * model->time;
    mix(model, w, k, batch);
    dt_tp_sum_start(model, model->d_narrow, rows);
    const real *sum = dt_tp_sum_finish(model, model->d_narrow, rows);
    model->blas->kernels->residual_add(k->out, k->middle, sum, NULL, dt_tp_rows(model, rows),
                                       model->here.channels);
}

void dt_block_forward(struct dt_model *model, const struct dt_layer *w, const struct dt_kept *k,
                      const real *in, size_t batch)
{
    forward_inside(model, w, k, in, batch);
    if (k->experts) {
        experts_forward(model, w, k, batch);
        return;
    }
    add_product(model, k->out, k->middle, k->activated, w->down_weight, w->down_bias,
                batch * model->time, model->here.hidden);
}

void dt_block_again(struct dt_model *model, const struct dt_layer *w, const struct dt_kept *k,
                    const real *in, size_t batch)
{
    size_t rows = batch * model->time;
    if (model->recompute == DT_RECOMPUTE_FULL) {
        forward_inside(model, w, k, in, batch);
        if (k->experts)
            mix_again(model, w, k, batch);
    }
    if (model->recompute != DT_RECOMPUTE_SELECTIVE)
        return;
    first_norm(model, w, k, in, rows);
    second_norm(model, w, k, rows);
    if (!k->experts)
        activate(model, k, NULL, rows);
}

/* A norm and the product that reads it: d_stream gets their gradient added. The product's part of it
 * is summed over the ranks while the gradient of its weight is made. */
struct half {
    const real *weight, *normed; /* of the product; the norm's output */
    real *d_weight, *d_bias;
    size_t outputs;
    struct dt_tp_norm norm;
};

static void half_backward(struct dt_model *model, const struct half *h, const real *d_out,
                          size_t rows, bool add)
{
    real *narrow = model->d_narrow;
    size_t c = model->here.channels;
    dt_linear_backward_in(model->blas, narrow, d_out, h->weight, rows, c, h->outputs);
    dt_tp_sum_start(model, narrow, rows);
    dt_linear_backward_weight(model->blas, h->d_weight, h->d_bias, d_out,
                              dt_tp_all(model, h->normed, rows), rows, c, h->outputs, add);
    dt_tp_norm_backward(model, &h->norm, model->d_stream, dt_tp_sum_finish(model, narrow, rows),
                        rows, add);
}

static void experts_backward(struct dt_model *model, const struct dt_layer *w,
                             const struct dt_layer *g, const struct dt_kept *k,
                             const struct dt_tp_norm *norm, size_t batch, bool add)
{
    size_t rows = batch * model->time;
    const struct dt_moe_weights weights = experts_of(w), gradients = experts_of(g);
    const real *d_out = dt_tp_all(model, model->d_stream, rows);
    if (d_out != model->d_stream) { /* gathered, and the norm's output is going to be, too */
        model->blas->kernels->copy(model->d_wide, d_out, rows * model->here.channels);
        d_out = model->d_wide;
    }
    const real *in = dt_tp_all(model, k->norm2, rows);
    if (!model->failed)
        dt_model_note(model, dt_moe_backward(&model->moe, &weights, &gradients, k->experts,
                                             model->d_narrow, d_out, in, batch, model->time, add,
                                             &model->error));
    dt_tp_sum_start(model, model->d_narrow, rows);
    dt_tp_norm_backward(model, norm, model->d_stream,
                        dt_tp_sum_finish(model, model->d_narrow, rows), rows, add);
}

/* What is no mixture: the wide part. */
static void wide_backward(struct dt_model *model, const struct dt_layer *w,
                          const struct dt_layer *g, const struct dt_kept *k,
                          const struct half *half, size_t rows, bool add,
                          const struct dt_model_hooks *hooks)
{
    const struct dt_widths *here = &model->here;
    real *wide = model->d_wide;
    dt_linear_backward(model->blas, model->d_hidden, g->down_weight, g->down_bias,
                       dt_tp_all(model, model->d_stream, rows), k->activated, w->down_weight, rows,
                       here->hidden, here->channels, add);
    if (model->config.family == DT_FAMILY_LLAMA)
        model->blas->kernels->swiglu_backward(wide, model->d_hidden, k->up, rows, here->hidden);
    else
        model->blas->kernels->gelu_backward(wide, k->up,
                                            rows * here->hidden); /* in place: d_hidden is d_wide */
    dt_model_between(hooks);
    half_backward(model, half, wide, rows, add);
}

void dt_block_backward(struct dt_model *model, const struct dt_layer *w, const struct dt_layer *g,
                       const struct dt_kept *k, const real *in, size_t batch, bool add,
                       const struct dt_model_hooks *hooks)
{
    const struct dt_widths *here = &model->here;
    const struct dt_blas *blas = model->blas;
    size_t c = here->channels, rows = batch * model->time;
    real *narrow = model->d_narrow, *wide = model->d_wide;
    const struct half first = {
        w->qkv_weight,
        k->norm1,
        g->qkv_weight,
        g->qkv_bias,
        here->qkv,
        {in, w->norm1_weight, k->mean1, k->inverse1, g->norm1_weight, g->norm1_bias}};
    const struct half second = {
        w->up_weight,
        k->norm2,
        g->up_weight,
        g->up_bias,
        here->up,
        {k->middle, w->norm2_weight, k->mean2, k->inverse2, g->norm2_weight, g->norm2_bias}};
    if (k->experts)
        experts_backward(model, w, g, k, &second.norm, batch, add);
    else
        wide_backward(model, w, g, k, &second, rows, add, hooks);
    dt_model_between(hooks);
    dt_linear_backward(blas, narrow, g->projection_weight, g->projection_bias,
                       dt_tp_all(model, model->d_stream, rows), k->attended, w->projection_weight,
                       rows, here->attended, c, add);
    attend_backward(model, wide, narrow, k, batch);
    rotate(model, wide, batch, true);
    dt_model_between(hooks);
    half_backward(model, &first, wide, rows, add);
}
