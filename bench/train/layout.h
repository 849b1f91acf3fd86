/* SPDX-License-Identifier: Apache-2.0 */
/* Where each tensor lies. All parameters of a rank are one array, layer by layer; gradients and the
 * optimizer's moments have the same layout. A bucket is the piece of one layer: what is ready at once
 * in backward, is reduced at once between ranks, and can be sharded.
 *
 * A rank may hold a part of the model (part.h), and shards of that. How its tensors are cut out of
 * whole ones is told by runs (dt_tensor_runs), and nothing else knows it: first values, checkpoints
 * and exports all work by runs, on whatever ranks. */
#ifndef DT_TRAIN_LAYOUT_H
#define DT_TRAIN_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "config.h"
#include "part.h"
#include "real.h"

/* How a rank's tensor is cut out of a whole one: of each unit here, some ranges of rows one after the
 * other; of each row, a range of columns. */
struct dt_cut {
    struct dt_range units; /* experts; of other tensors {0, 1} */
    size_t unit_rows;
    struct dt_range rows[3]; /* within a unit */
    size_t row_ranges;
    struct dt_range columns;
};

struct dt_tensor {
    const char *name; /* within its layer: "qkv.weight" */
    int layer;        /* of the whole model; -1: before or after the layers */
    size_t offset, count;
    bool decay;       /* weight decay applies */
    double deviation; /* of the first values; 0: all equal to `fill` */
    double fill;
    size_t index;         /* of the whole tensor in the table of the whole model */
    size_t rows, columns; /* of the whole tensor; of a vector columns 1 */
    struct dt_cut cut;
    size_t
        first; /* of what `cut` cuts out, the real that offset is of: sharded tensors begin later */
    bool copy; /* another rank of the same copy of the model has the same and counts it */
};

struct dt_bucket {
    size_t offset, count;
    enum dt_bucket_kind kind;
};

/* Tensors outside the layers; those that are not here have number DT_NO_TENSOR. */
enum dt_outer_tensor {
    DT_TOKEN_TABLE,
    DT_POSITION_TABLE,
    DT_NORM_WEIGHT,
    DT_NORM_BIAS,
    DT_HEAD, /* tied: the token table, or on the last of several stages a copy of it */
    DT_OUTER_TENSORS
};
#define DT_NO_TENSOR         SIZE_MAX
#define DT_TOKEN_TABLE_INDEX 0 /* dt_tensor.index of the token table */

/* The tensors that one rank holds, in the order of the whole model: embedding (first stage), layers,
 * final norm and head (last stage). */
struct dt_layout {
    struct dt_tensor *tensors;
    size_t tensor_count;
    size_t layer_count, first_in_layer;    /* layers here; the first tensor of the first of them */
    size_t layer_tensors;                  /* of one layer */
    size_t layer_buckets;                  /* 2: with experts, which are the second; else 1 */
    size_t outer[DT_OUTER_TENSORS];        /* numbers of tensors, */
    size_t outer_bucket[DT_OUTER_TENSORS]; /* and of the buckets that they are in */
    /* Embedding; each layer; norm and head. A tied table is a bucket of its own: its sum begins long
     * before that of the positions (tied.h), and on the first and the last of several stages its
     * shards are alike. */
    struct dt_bucket *buckets;
    size_t bucket_count;
    size_t first_layer_bucket;
    struct dt_model_config config; /* filled; of the whole model */
    struct dt_part part;
    size_t total;  /* reals in the array, padding between tensors included */
    size_t params; /* without padding */
};

/* The tensors of one layer in an array of this layout. NULL where the family has none. qkv holds the
 * rows of queries, keys, values; up those of gate and value, where there is a gate. */
struct dt_layer {
    real *norm1_weight, *norm1_bias, *qkv_weight, *qkv_bias, *projection_weight, *projection_bias;
    real *norm2_weight, *norm2_bias, *up_weight, *up_bias, *down_weight, *down_bias;
    real *router_weight; /* then up and down are those of the experts, one after the other */
};

/* The tensors outside the layers; NULL where the family or the part has none. */
struct dt_outer {
    real *token_table, *position_table, *norm_weight, *norm_bias, *head;
};

/* part NULL: the whole model. The sizes can be cut so (dt_part_check). */
int dt_layout_init(struct dt_layout *layout, const struct dt_model_config *config,
                   const struct dt_part *part, struct dt_error *err);
void dt_layout_fini(struct dt_layout *layout);

/* `layer` counts those that are here. */
struct dt_layer dt_layout_layer(const struct dt_layout *layout, real *base, int layer);
struct dt_outer dt_layout_outer(const struct dt_layout *layout, real *base);

/* The share of every bucket that rank `rank` of `size` owns (ZeRO), as a layout of its own: tensors
 * are cut where the shares are, buckets are the shares, rounded up. */
int dt_layout_shard(struct dt_layout *own, const struct dt_layout *layout, int rank, int size,
                    struct dt_error *err);

/* Consecutive reals of a rank's array that are consecutive in the whole tensor, too. */
struct dt_run {
    size_t here;  /* in the array of this rank */
    size_t there; /* in the whole tensor tensor->index, row by row */
    size_t count;
};
typedef void dt_run_function(void *context, const struct dt_tensor *tensor,
                             const struct dt_run *run);

/* The runs of `count` reals from real `from` of a tensor; in order of `here`. */
void dt_tensor_runs(const struct dt_tensor *tensor, size_t from, size_t count,
                    dt_run_function *function, void *context);
/* Those of a stretch of the array, over all tensors in it. */
void dt_layout_runs(const struct dt_layout *layout, size_t from, size_t count,
                    dt_run_function *function, void *context);

/* First values: a function of seed, whole tensor and place in it alone. */
void dt_layout_first_values(const struct dt_layout *layout, real *params, unsigned long long seed);

#endif
