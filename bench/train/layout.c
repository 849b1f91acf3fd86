/* SPDX-License-Identifier: Apache-2.0 */
/* The table of tensors, and pointers from it; see layout.h. */
#include "layout.h"

#include <math.h>
#include <stdlib.h>

#include "rng.h"

enum { OUTER_BEFORE = 2, PER_LAYER = 12, OUTER_AFTER = 2 };

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

static void add_layer(struct dt_layout *layout, const struct dt_model_config *config, int layer)
{
    size_t c = (size_t)config->channels;
    double narrow = 0.02 / sqrt(2.0 * config->layers); /* what is added to the residual stream */
    add_tensor(layout, "norm1.weight", layer, c, false, 0, 1);
    add_tensor(layout, "norm1.bias", layer, c, false, 0, 0);
    add_tensor(layout, "qkv.weight", layer, 3 * c * c, true, 0.02, 0);
    add_tensor(layout, "qkv.bias", layer, 3 * c, false, 0, 0);
    add_tensor(layout, "projection.weight", layer, c * c, true, narrow, 0);
    add_tensor(layout, "projection.bias", layer, c, false, 0, 0);
    add_tensor(layout, "norm2.weight", layer, c, false, 0, 1);
    add_tensor(layout, "norm2.bias", layer, c, false, 0, 0);
    add_tensor(layout, "up.weight", layer, 4 * c * c, true, 0.02, 0);
    add_tensor(layout, "up.bias", layer, 4 * c, false, 0, 0);
    add_tensor(layout, "down.weight", layer, 4 * c * c, true, narrow, 0);
    add_tensor(layout, "down.bias", layer, c, false, 0, 0);
    close_bucket(layout);
}

int dt_layout_init(struct dt_layout *layout, const struct dt_model_config *config,
                   struct dt_error *err)
{
    size_t layers = (size_t)config->layers, c = (size_t)config->channels;
    *layout = (struct dt_layout){0};
    layout->tensors =
        calloc(OUTER_BEFORE + PER_LAYER * layers + OUTER_AFTER, sizeof *layout->tensors);
    layout->buckets = calloc(layers + 2, sizeof *layout->buckets);
    if (!layout->tensors || !layout->buckets) {
        dt_layout_fini(layout);
        return dt_error_set(err, "no memory for the table of tensors of %zu layers", layers);
    }
    add_tensor(layout, "token.table", -1, (size_t)config->vocab * c, true, 0.02, 0);
    add_tensor(layout, "position.table", -1, (size_t)config->seq * c, true, 0.02, 0);
    close_bucket(layout);
    for (int layer = 0; layer < config->layers; layer++)
        add_layer(layout, config, layer);
    add_tensor(layout, "norm.weight", -1, c, false, 0, 1);
    add_tensor(layout, "norm.bias", -1, c, false, 0, 0);
    close_bucket(layout);
    return 0;
}

void dt_layout_fini(struct dt_layout *layout)
{
    free(layout->tensors);
    free(layout->buckets);
    *layout = (struct dt_layout){0};
}

struct dt_layer dt_layout_layer(const struct dt_layout *layout, real *base, int layer)
{
    const struct dt_tensor *t = &layout->tensors[OUTER_BEFORE + PER_LAYER * (size_t)layer];
    return (struct dt_layer){
        .norm1_weight = base + t[0].offset,
        .norm1_bias = base + t[1].offset,
        .qkv_weight = base + t[2].offset,
        .qkv_bias = base + t[3].offset,
        .projection_weight = base + t[4].offset,
        .projection_bias = base + t[5].offset,
        .norm2_weight = base + t[6].offset,
        .norm2_bias = base + t[7].offset,
        .up_weight = base + t[8].offset,
        .up_bias = base + t[9].offset,
        .down_weight = base + t[10].offset,
        .down_bias = base + t[11].offset,
    };
}

struct dt_outer dt_layout_outer(const struct dt_layout *layout, real *base)
{
    const struct dt_tensor *first = layout->tensors;
    const struct dt_tensor *last = first + layout->tensor_count - OUTER_AFTER;
    return (struct dt_outer){.token_table = base + first[0].offset,
                             .position_table = base + first[1].offset,
                             .norm_weight = base + last[0].offset,
                             .norm_bias = base + last[1].offset};
}

void dt_layout_first_values(const struct dt_layout *layout, real *params, unsigned long long seed)
{
    for (size_t t = 0; t < layout->tensor_count; t++) {
        const struct dt_tensor *tensor = &layout->tensors[t];
        real *values = params + tensor->offset;
        if (tensor->deviation > 0) {
            dt_rng_fill(values, tensor->count, tensor->deviation, seed, t);
            continue;
        }
        for (size_t i = 0; i < tensor->count; i++)
            values[i] = (real)tensor->fill;
    }
}
