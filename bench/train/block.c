/* SPDX-License-Identifier: Apache-2.0 */
/* Forward and backward of one layer; see block.h. */
#include "block.h"

#include "layers.h"

void dt_norm_forward(const struct dt_model_config *config, real *out, real *mean, real *inverse,
                     const real *in, const real *weight, const real *bias, size_t rows)
{
    size_t c = (size_t)config->channels;
    if (config->family == DT_FAMILY_LLAMA)
        dt_rmsnorm_forward(out, inverse, in, weight, rows, c);
    else
        dt_layernorm_forward(out, mean, inverse, in, weight, bias, rows, c);
}

void dt_norm_backward(const struct dt_model_config *config, real *d_in, real *d_weight,
                      real *d_bias, const real *d_out, const real *in, const real *weight,
                      const real *mean, const real *inverse, size_t rows, bool add)
{
    size_t c = (size_t)config->channels;
    if (config->family == DT_FAMILY_LLAMA)
        dt_rmsnorm_backward(d_in, d_weight, d_out, in, weight, inverse, rows, c, add);
    else
        dt_layernorm_backward(d_in, d_weight, d_bias, d_out, in, weight, mean, inverse, rows, c,
                              add);
}

/* Over the ranks that share each sample, where there are more than one. */
static void attend(struct dt_model *model, const struct dt_kept *k, size_t batch)
{
    const struct dt_attention_shape shape = dt_model_attention(model, batch);
    if (model->mesh->context->size == 1)
        dt_attention_forward(model->blas, k->attended, k->log_sum, k->qkv, model->work, &shape);
    else if (!model->failed)
        dt_model_note(model, dt_ring_forward(&model->ring, model->blas, k->attended, k->log_sum,
                                             k->qkv, model->work, &shape, &model->error));
}

static void attend_backward(struct dt_model *model, real *d_qkv, const real *d_out,
                            const struct dt_kept *k, size_t batch)
{
    const struct dt_attention_shape shape = dt_model_attention(model, batch);
    if (model->mesh->context->size == 1)
        dt_attention_backward(model->blas, d_qkv, d_out, k->attended, k->log_sum, k->qkv,
                              model->work, &shape);
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
        dt_rope(qkv, model->rope, batch, model->time,
                (size_t)config->heads + (size_t)config->kv_heads, dt_config_head(config),
                dt_config_qkv(config), back);
}

/* up_bias NULL: it is added already. */
static void activate(const struct dt_model_config *config, const struct dt_kept *k,
                     const real *up_bias, size_t rows)
{
    if (config->family == DT_FAMILY_LLAMA)
        dt_swiglu_forward(k->activated, k->up, rows, (size_t)config->hidden);
    else
        dt_gelu_forward(k->activated, k->up, up_bias, rows, (size_t)config->hidden);
}

/* All of the layer but its last product. */
static void forward_inside(struct dt_model *model, const struct dt_layer *w,
                           const struct dt_kept *k, const real *in, size_t batch)
{
    const struct dt_model_config *config = &model->config;
    const struct dt_blas *blas = model->blas;
    size_t c = (size_t)config->channels, rows = batch * model->time;
    size_t qkv = dt_config_qkv(config), up = dt_config_up(config);
    dt_norm_forward(config, k->norm1, k->mean1, k->inverse1, in, w->norm1_weight, w->norm1_bias,
                    rows);
    dt_linear_forward(blas, k->qkv, k->norm1, w->qkv_weight, rows, c, qkv);
    dt_bias_add(k->qkv, w->qkv_bias, rows, qkv);
    rotate(model, k->qkv, batch, false);
    attend(model, k, batch);
    dt_linear_forward(blas, model->d_narrow, k->attended, w->projection_weight, rows, c, c);
    dt_residual_add(k->middle, in, model->d_narrow, w->projection_bias, rows, c);
    dt_norm_forward(config, k->norm2, k->mean2, k->inverse2, k->middle, w->norm2_weight,
                    w->norm2_bias, rows);
    dt_linear_forward(blas, k->up, k->norm2, w->up_weight, rows, c, up);
    activate(config, k, w->up_bias, rows);
}

void dt_block_forward(struct dt_model *model, const struct dt_layer *w, const struct dt_kept *k,
                      const real *in, size_t batch)
{
    size_t c = (size_t)model->config.channels, hidden = (size_t)model->config.hidden;
    size_t rows = batch * model->time;
    forward_inside(model, w, k, in, batch);
    dt_linear_forward(model->blas, model->d_narrow, k->activated, w->down_weight, rows, hidden, c);
    dt_residual_add(k->out, k->middle, model->d_narrow, w->down_bias, rows, c);
}

void dt_block_again(struct dt_model *model, const struct dt_layer *w, const struct dt_kept *k,
                    const real *in, size_t batch)
{
    const struct dt_model_config *config = &model->config;
    size_t rows = batch * model->time;
    if (model->recompute == DT_RECOMPUTE_FULL)
        forward_inside(model, w, k, in, batch);
    if (model->recompute != DT_RECOMPUTE_SELECTIVE)
        return;
    dt_norm_forward(config, k->norm1, k->mean1, k->inverse1, in, w->norm1_weight, w->norm1_bias,
                    rows);
    dt_norm_forward(config, k->norm2, k->mean2, k->inverse2, k->middle, w->norm2_weight,
                    w->norm2_bias, rows);
    activate(config, k, NULL, rows);
}

void dt_block_backward(struct dt_model *model, const struct dt_layer *w, const struct dt_layer *g,
                       const struct dt_kept *k, const real *in, size_t batch, bool add,
                       const struct dt_model_hooks *hooks)
{
    const struct dt_model_config *config = &model->config;
    const struct dt_blas *blas = model->blas;
    size_t c = (size_t)config->channels, hidden = (size_t)config->hidden;
    size_t rows = batch * model->time;
    real *stream = model->d_stream, *narrow = model->d_narrow, *wide = model->d_wide;
    dt_linear_backward(blas, model->d_hidden, g->down_weight, g->down_bias, stream, k->activated,
                       w->down_weight, rows, hidden, c, add);
    if (config->family == DT_FAMILY_LLAMA)
        dt_swiglu_backward(wide, model->d_hidden, k->up, rows, hidden);
    else
        dt_gelu_backward(wide, k->up, rows * hidden); /* in place: d_hidden is d_wide */
    dt_model_between(hooks);
    dt_linear_backward(blas, narrow, g->up_weight, g->up_bias, wide, k->norm2, w->up_weight, rows,
                       c, dt_config_up(config), add);
    dt_norm_backward(config, stream, g->norm2_weight, g->norm2_bias, narrow, k->middle,
                     w->norm2_weight, k->mean2, k->inverse2, rows, add);
    dt_model_between(hooks);
    dt_linear_backward(blas, narrow, g->projection_weight, g->projection_bias, stream, k->attended,
                       w->projection_weight, rows, c, c, add);
    attend_backward(model, wide, narrow, k, batch);
    rotate(model, wide, batch, true);
    dt_model_between(hooks);
    dt_linear_backward(blas, narrow, g->qkv_weight, g->qkv_bias, wide, k->norm1, w->qkv_weight,
                       rows, c, dt_config_qkv(config), add);
    dt_norm_backward(config, stream, g->norm1_weight, g->norm1_bias, narrow, in, w->norm1_weight,
                     k->mean1, k->inverse1, rows, add);
}
