/* SPDX-License-Identifier: Apache-2.0 */
/* Forward of one row through all layers, with kept keys and values; see decoder.h. */
#include "decoder.h"

#include <math.h>
#include <stdlib.h>

#include "block.h"
#include "kernels.h"
#include "reals.h"

static size_t keys_of(const struct dt_model_config *m)
{
    return (size_t)m->kv_heads * dt_config_head(m);
}

static struct dt_moe_weights experts_of(const struct dt_decoder *d, int layer)
{
    const struct dt_layer w = dt_layout_layer(d->layout, d->params, layer);
    return (struct dt_moe_weights){w.router_weight, w.up_weight, w.up_bias, w.down_weight,
                                   w.down_bias};
}

/* A row always takes as many experts, so that after the first no more memory is wanted. */
static int open_experts(struct dt_decoder *d, struct dt_error *err)
{
    const struct dt_widths widths = dt_part_widths(&d->layout->config, &d->layout->part);
    const struct dt_moe_shape shape = dt_moe_shape_of(&d->layout->config, &widths);
    const struct dt_moe_weights first = experts_of(d, 0);
    dt_comm_single_open(&d->alone);
    if (dt_moe_init(&d->moe, &shape, 1, d->blas, err) < 0)
        return -1;
    d->moe.experts = d->moe.context = d->moe.tensor = &d->alone;
    if (dt_moe_kept_init(&d->kept, &d->moe, err) < 0)
        return -1;
    return dt_moe_forward(&d->moe, &first, &d->kept, d->narrow, d->norm, 1, 1, err);
}

int dt_decoder_init(struct dt_decoder *d, const struct dt_layout *layout, real *params,
                    const struct dt_blas *blas, struct dt_error *err)
{
    const struct dt_model_config *m = &layout->config;
    const size_t c = (size_t)m->channels, seq = (size_t)m->seq, head = dt_config_head(m);
    const struct {
        real **at;
        size_t count;
    } rows[] = {{&d->stream, c},
                {&d->norm, c},
                {&d->qkv, dt_config_qkv(m)},
                {&d->attended, c},
                {&d->narrow, c},
                {&d->up, dt_config_up(m)},
                {&d->activated, (size_t)m->hidden},
                {&d->scores, seq},
                {&d->rope, m->family == DT_FAMILY_LLAMA ? seq * head : 0},
                {&d->logits, (size_t)m->vocab},
                {&d->cache, (size_t)m->layers * seq * 2 * keys_of(m)}};
    const size_t unit = DT_ALIGN / sizeof(real);
    size_t total = 0;
    *d = (struct dt_decoder){.layout = layout, .params = params, .blas = blas};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        total += (rows[i].count + unit - 1) / unit * unit;
    d->memory = dt_host_reals(total);
    if (!d->memory)
        return dt_error_set(err, "no memory to sample from the model: %zu MiB",
                            total * sizeof(real) >> 20);
    total = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        *rows[i].at = d->memory + total;
        total += (rows[i].count + unit - 1) / unit * unit;
    }
    if (m->family == DT_FAMILY_LLAMA)
        dt_rope_table(d->rope, NULL, seq, head, m->rope_base);
    return m->experts > 0 ? open_experts(d, err) : 0;
}

void dt_decoder_fini(struct dt_decoder *d)
{
    free(d->memory);
    dt_moe_kept_fini(&d->kept);
    dt_moe_fini(&d->moe);
    *d = (struct dt_decoder){0};
}

void dt_decoder_restart(struct dt_decoder *d)
{
    d->place = 0;
}

/* out = what one head of queries finds among the keys so far. */
static void attend_head(struct dt_decoder *d, real *out, const real *query, const real *keys,
                        const real *values, size_t stride)
{
    const size_t head = dt_config_head(&d->layout->config), seen = d->place + 1;
    const real scale = (real)(1.0 / sqrt((double)head));
    real top = -INFINITY, sum = 0;
    for (size_t t = 0; t < seen; t++) {
        real score = 0;
        for (size_t i = 0; i < head; i++)
            score += query[i] * keys[t * stride + i];
        d->scores[t] = score * scale;
        top = d->scores[t] > top ? d->scores[t] : top;
    }
    for (size_t t = 0; t < seen; t++)
        sum += d->scores[t] = dt_exp(d->scores[t] - top);
    memset(out, 0, head * sizeof *out);
    for (size_t t = 0; t < seen; t++)
        for (size_t i = 0; i < head; i++)
            out[i] += d->scores[t] / sum * values[t * stride + i];
}

static void attend(struct dt_decoder *d, size_t layer)
{
    const struct dt_model_config *m = &d->layout->config;
    const size_t head = dt_config_head(m), keys = keys_of(m), queries = (size_t)m->channels;
    const size_t shared = (size_t)(m->heads / m->kv_heads), stride = 2 * keys;
    real *cache = d->cache + layer * (size_t)m->seq * stride;
    memcpy(cache + d->place * stride, d->qkv + queries, stride * sizeof *cache);
    for (size_t h = 0; h < (size_t)m->heads; h++) {
        const real *key = cache + h / shared * head;
        attend_head(d, d->attended + h * head, d->qkv + h * head, key, key + keys, stride);
    }
}

static void mix(struct dt_decoder *d, int layer)
{
    struct dt_error none; /* nobody is waited for, and memory is there */
    const struct dt_moe_weights w = experts_of(d, layer);
    dt_moe_forward(&d->moe, &w, &d->kept, d->narrow, d->norm, 1, 1, &none);
    dt_residual_add(d->stream, d->stream, d->narrow, NULL, 1, (size_t)d->layout->config.channels);
}

static void take_layer(struct dt_decoder *d, int layer)
{
    const struct dt_model_config *m = &d->layout->config;
    const struct dt_layer w = dt_layout_layer(d->layout, d->params, layer);
    const size_t c = (size_t)m->channels, hidden = (size_t)m->hidden;
    real mean, inverse;
    dt_norm_forward(d->blas->kernels, m, d->norm, &mean, &inverse, d->stream, w.norm1_weight,
                    w.norm1_bias, 1);
    dt_linear_forward(d->blas, d->qkv, d->norm, w.qkv_weight, 1, c, dt_config_qkv(m));
    dt_bias_add(d->qkv, w.qkv_bias, 1, dt_config_qkv(m));
    if (m->family == DT_FAMILY_LLAMA)
        dt_rope(d->qkv, d->rope + d->place * dt_config_head(m), 1, 1,
                (size_t)m->heads + (size_t)m->kv_heads, dt_config_head(m), dt_config_qkv(m), false);
    attend(d, (size_t)layer);
    dt_linear_forward(d->blas, d->narrow, d->attended, w.projection_weight, 1, c, c);
    dt_residual_add(d->stream, d->stream, d->narrow, w.projection_bias, 1, c);
    dt_norm_forward(d->blas->kernels, m, d->norm, &mean, &inverse, d->stream, w.norm2_weight,
                    w.norm2_bias, 1);
    if (m->experts > 0) {
        mix(d, layer);
        return;
    }
    dt_linear_forward(d->blas, d->up, d->norm, w.up_weight, 1, c, dt_config_up(m));
    if (m->family == DT_FAMILY_LLAMA)
        dt_swiglu_forward(d->activated, d->up, 1, hidden);
    else
        dt_gelu_forward(d->activated, d->up, w.up_bias, 1, hidden);
    dt_linear_forward(d->blas, d->narrow, d->activated, w.down_weight, 1, hidden, c);
    dt_residual_add(d->stream, d->stream, d->narrow, w.down_bias, 1, c);
}

void dt_decoder_take(struct dt_decoder *d, int token)
{
    const struct dt_model_config *m = &d->layout->config;
    const struct dt_outer w = dt_layout_outer(d->layout, d->params);
    const size_t c = (size_t)m->channels;
    real mean, inverse;
    memcpy(d->stream, w.token_table + (size_t)token * c, c * sizeof *d->stream);
    for (size_t i = 0; w.position_table && i < c; i++)
        d->stream[i] += w.position_table[d->place * c + i];
    for (int layer = 0; layer < m->layers; layer++)
        take_layer(d, layer);
    dt_norm_forward(d->blas->kernels, m, d->norm, &mean, &inverse, d->stream, w.norm_weight,
                    w.norm_bias, 1);
    dt_linear_forward(d->blas, d->logits, d->norm, w.head, 1, c, (size_t)m->vocab);
    d->place++;
}
