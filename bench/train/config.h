/* SPDX-License-Identifier: Apache-2.0 */
/* The sizes of a model, and the named ones. What each size means for tensors is in layout.h. */
#ifndef DT_TRAIN_CONFIG_H
#define DT_TRAIN_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/* GPT-2: learned positions, LayerNorm, GELU, biases. Llama 3: rotary positions, RMSNorm, SwiGLU,
 * grouped queries, no biases. */
enum dt_family { DT_FAMILY_GPT2, DT_FAMILY_LLAMA };

/* What is 0 in the second half of the fields stands for the family's own choice. */
struct dt_model_config {
    int layers, channels, heads, seq, vocab;
    int family;    /* enum dt_family */
    int kv_heads;  /* heads of keys and values; 0: as many as heads */
    int hidden;    /* width inside the second half of a layer; 0: see dt_config_fill */
    int untied;    /* the head has a table of its own, instead of the tokens' */
    int rope_base; /* of rotary positions; 0: 500000 (Llama 3) */
    /* The second half of a layer as a mixture (moe.h). */
    int experts;            /* 0: a layer has one second half, and no router */
    int experts_per_token;  /* 0: 2 */
    double experts_balance; /* how much the loss grows when they are chosen unevenly; 0: not */
};

/* Put the family's choice where a field is 0: hidden 4 x channels (GPT-2), or 8/3 x channels up to a
 * multiple of 64 (Llama). Filling twice changes nothing. */
void dt_config_fill(struct dt_model_config *config);

/* Do the sizes fit each other? The sentence names the nearest that do. */
int dt_config_check(const struct dt_model_config *config, struct dt_error *err);

const char *dt_family_name(int family);
int dt_family_find(const char *name); /* -1: no such family */

struct dt_preset {
    const char *name;
    struct dt_model_config model;
    long global_batch;
    double rate; /* highest learning rate */
};

/* NULL: no preset of that name. */
const struct dt_preset *dt_preset_find(const char *name);
const struct dt_preset *dt_preset_at(size_t index);

/* The divisor of `number` that is nearest to `wanted`. */
long dt_nearest_divisor(long number, long wanted);

/* Widths that follow from the sizes. */
static inline size_t dt_config_head(const struct dt_model_config *c)
{
    return (size_t)(c->channels / c->heads);
}

/* A row of queries, keys and values. */
static inline size_t dt_config_qkv(const struct dt_model_config *c)
{
    return dt_config_head(c) * (size_t)(c->heads + 2 * c->kv_heads);
}

/* What the matrix before the activation makes: for SwiGLU gate and value, side by side. */
static inline size_t dt_config_up(const struct dt_model_config *c)
{
    return (size_t)c->hidden * (c->family == DT_FAMILY_LLAMA ? 2 : 1);
}

#endif
