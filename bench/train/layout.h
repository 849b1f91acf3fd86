/* SPDX-License-Identifier: Apache-2.0 */
/* Where each tensor of the model lies. All parameters are one array, layer by layer; gradients and
 * the optimizer's moments have the same layout. A bucket is the piece of one layer: what is ready
 * at once in backward, is reduced at once between ranks, and can be sharded. */
#ifndef DT_TRAIN_LAYOUT_H
#define DT_TRAIN_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "config.h"
#include "real.h"

struct dt_tensor {
    const char *name; /* within its layer: "qkv.weight" */
    int layer;        /* -1: before or after the layers */
    size_t offset, count;
    bool decay;       /* weight decay applies */
    double deviation; /* of the first values; 0: all equal to `fill` */
    double fill;
};

struct dt_bucket {
    size_t offset, count;
};

struct dt_layout {
    struct dt_tensor *tensors;
    size_t tensor_count;
    size_t first_in_layer, first_after; /* tensors of layer 0, and of what comes after the last */
    struct dt_bucket *buckets;          /* embedding, layers, final norm and, untied, head */
    size_t bucket_count;
    struct dt_model_config config; /* filled */
    size_t total;                  /* reals in the array, padding between tensors included */
    size_t params;                 /* without padding */
};

/* The tensors of one layer in an array of this layout. NULL where the family has none. qkv holds the
 * rows of queries, keys, values; up those of gate and value, where there is a gate. */
struct dt_layer {
    real *norm1_weight, *norm1_bias, *qkv_weight, *qkv_bias, *projection_weight, *projection_bias;
    real *norm2_weight, *norm2_bias, *up_weight, *up_bias, *down_weight, *down_bias;
};

/* The tensors outside the layers. A tied head is the token table. */
struct dt_outer {
    real *token_table, *position_table, *norm_weight, *norm_bias, *head;
};

int dt_layout_init(struct dt_layout *layout, const struct dt_model_config *config,
                   struct dt_error *err);
void dt_layout_fini(struct dt_layout *layout);
struct dt_layer dt_layout_layer(const struct dt_layout *layout, real *base, int layer);
struct dt_outer dt_layout_outer(const struct dt_layout *layout, real *base);

/* First values: a function of seed, tensor and place alone. _bucket: of one bucket, to where that
 * begins. */
void dt_layout_first_bucket(const struct dt_layout *layout, size_t bucket, real *values,
                            unsigned long long seed);
void dt_layout_first_values(const struct dt_layout *layout, real *params, unsigned long long seed);

#endif
