/* SPDX-License-Identifier: Apache-2.0 */
/* The table of tensors, and pointers from it; see layout.h. */
#include "layout.h"

#include <math.h>
#include <stdlib.h>

#include "rng.h"

enum { MOST_OUTSIDE = 5, MOST_IN_LAYER = 12 };

static void add_tensor(struct dt_layout *layout, const char *name, int layer, size_t count,
                       bool decay, double deviation, double fill)
{
    const size_t unit = DT_ALIGN / sizeof(real);
    layout->tensors[layout->tensor_count++] = (struct dt_tensor){.name = name,
                                                                 .layer = layer,
                                                                 .offset = layout->total,
                                                                 .count = count,
                                                                 .decay = decay,
                                                                 .deviation = deviation,
                                                                 .fill = fill};
    layout->total += (count + unit - 1) / unit * unit;
    layout->params += count;
}

static void close_bucket(struct dt_layout *layout)
{
    size_t offset = 0;
    if (layout->bucket_count > 0) {
        const struct dt_bucket *last = &layout->buckets[layout->bucket_count - 1];
        offset = last->offset + last->count;
    }
    layout->buckets[layout->bucket_count++] =
        (struct dt_bucket){.offset = offset, .count = layout->total - offset};
}

/* A matrix or gain, and its bias where the family has biases. */
static void add_pair(struct dt_layout *layout, const char *const names[2], int layer, size_t count,
                     size_t outputs, double deviation)
{
    bool gain = deviation == 0;
    add_tensor(layout, names[0], layer, count, !gain, deviation, gain);
    if (layout->config.family == DT_FAMILY_GPT2)
        add_tensor(layout, names[1], layer, outputs, false, 0, 0);
}

static void add_layer(struct dt_layout *layout, int layer)
{
    static const char *const names[][2] = {{"norm1.weight", "norm1.bias"},
                                           {"qkv.weight", "qkv.bias"},
                                           {"projection.weight", "projection.bias"},
                                           {"norm2.weight", "norm2.bias"},
                                           {"up.weight", "up.bias"},
                                           {"down.weight", "down.bias"}};
    const struct dt_model_config *config = &layout->config;
    size_t c = (size_t)config->channels, hidden = (size_t)config->hidden;
    size_t qkv = dt_config_qkv(config), up = dt_config_up(config);
    double narrow = 0.02 / sqrt(2.0 * config->layers); /* what is added to the residual stream */
    add_pair(layout, names[0], layer, c, c, 0);
    add_pair(layout, names[1], layer, qkv * c, qkv, 0.02);
    add_pair(layout, names[2], layer, c * c, c, narrow);
    add_pair(layout, names[3], layer, c, c, 0);
    add_pair(layout, names[4], layer, up * c, up, 0.02);
    add_pair(layout, names[5], layer, c * hidden, c, narrow);
    close_bucket(layout);
}

int dt_layout_init(struct dt_layout *layout, const struct dt_model_config *config,
                   struct dt_error *err)
{
    static const char *const norm[2] = {"norm.weight", "norm.bias"};
    size_t layers = (size_t)config->layers, c = (size_t)config->channels;
    size_t table = (size_t)config->vocab * c;
    *layout = (struct dt_layout){.config = *config};
    dt_config_fill(&layout->config);
    layout->tensors = calloc(MOST_OUTSIDE + MOST_IN_LAYER * layers, sizeof *layout->tensors);
    layout->buckets = calloc(layers + 2, sizeof *layout->buckets);
    if (!layout->tensors || !layout->buckets) {
        dt_layout_fini(layout);
        return dt_error_set(err, "no memory for the table of tensors of %zu layers", layers);
    }
    add_tensor(layout, "token.table", -1, table, true, 0.02, 0);
    if (config->family == DT_FAMILY_GPT2)
        add_tensor(layout, "position.table", -1, (size_t)config->seq * c, true, 0.02, 0);
    close_bucket(layout);
    layout->first_in_layer = layout->tensor_count;
    for (int layer = 0; layer < config->layers; layer++)
        add_layer(layout, layer);
    layout->first_after = layout->tensor_count;
    add_pair(layout, norm, -1, c, c, 0);
    if (config->untied)
        add_tensor(layout, "head.weight", -1, table, true, 0.02, 0);
    close_bucket(layout);
    return 0;
}

void dt_layout_fini(struct dt_layout *layout)
{
    free(layout->tensors);
    free(layout->buckets);
    *layout = (struct dt_layout){0};
}

/* The next tensor's place, if the model has it. */
static real *next(const struct dt_tensor **at, real *base, bool there)
{
    return there ? base + (*at)++->offset : NULL;
}

struct dt_layer dt_layout_layer(const struct dt_layout *layout, real *base, int layer)
{
    const bool bias = layout->config.family == DT_FAMILY_GPT2;
    size_t each = (layout->first_after - layout->first_in_layer) / (size_t)layout->config.layers;
    const struct dt_tensor *at = layout->tensors + layout->first_in_layer + each * (size_t)layer;
    struct dt_layer l;
    l.norm1_weight = next(&at, base, true);
    l.norm1_bias = next(&at, base, bias);
    l.qkv_weight = next(&at, base, true);
    l.qkv_bias = next(&at, base, bias);
    l.projection_weight = next(&at, base, true);
    l.projection_bias = next(&at, base, bias);
    l.norm2_weight = next(&at, base, true);
    l.norm2_bias = next(&at, base, bias);
    l.up_weight = next(&at, base, true);
    l.up_bias = next(&at, base, bias);
    l.down_weight = next(&at, base, true);
    l.down_bias = next(&at, base, bias);
    return l;
}

struct dt_outer dt_layout_outer(const struct dt_layout *layout, real *base)
{
    const bool gpt2 = layout->config.family == DT_FAMILY_GPT2;
    const struct dt_tensor *at = layout->tensors;
    struct dt_outer o;
    o.token_table = next(&at, base, true);
    o.position_table = next(&at, base, gpt2);
    at = layout->tensors + layout->first_after;
    o.norm_weight = next(&at, base, true);
    o.norm_bias = next(&at, base, gpt2);
    o.head = layout->config.untied ? next(&at, base, true) : o.token_table;
    return o;
}

static void first_tensor(const struct dt_tensor *tensor, size_t index, real *values,
                         unsigned long long seed)
{
    if (tensor->deviation > 0) {
        dt_rng_fill(values, tensor->count, tensor->deviation, seed, index);
        return;
    }
    for (size_t i = 0; i < tensor->count; i++)
        values[i] = (real)tensor->fill;
}

void dt_layout_first_bucket(const struct dt_layout *layout, size_t bucket, real *values,
                            unsigned long long seed)
{
    const struct dt_bucket *b = &layout->buckets[bucket];
    for (size_t t = 0; t < layout->tensor_count; t++) {
        const struct dt_tensor *tensor = &layout->tensors[t];
        if (tensor->offset >= b->offset && tensor->offset < b->offset + b->count)
            first_tensor(tensor, t, values + (tensor->offset - b->offset), seed);
    }
}

void dt_layout_first_values(const struct dt_layout *layout, real *params, unsigned long long seed)
{
    for (size_t b = 0; b < layout->bucket_count; b++)
        dt_layout_first_bucket(layout, b, params + layout->buckets[b].offset, seed);
}
