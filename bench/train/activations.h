/* SPDX-License-Identifier: Apache-2.0 */
/* The memory that the model works in: what forward keeps for backward, in slots of one micro-batch
 * each, and work space. What a layer does not keep (activation checkpointing) it makes again in
 * backward, in space that all layers share (dt_block_again). */
#ifndef DT_TRAIN_ACTIVATIONS_H
#define DT_TRAIN_ACTIVATIONS_H

#include <stddef.h>

#include "real.h"

/* What is made again in backward:
 *   none       nothing
 *   selective  what is cheap: both norms and the activation; kept are the inputs of attention and of
 *              the activation, attention's result, and the residual stream
 *   full       all of a layer but its input */
enum dt_recompute { DT_RECOMPUTE_NONE, DT_RECOMPUTE_SELECTIVE, DT_RECOMPUTE_FULL };

/* What one layer has of its forward pass in its backward pass. */
struct dt_kept {
    real *norm1, *mean1, *inverse1, *qkv, *log_sum, *attended, *middle;
    real *norm2, *mean2, *inverse2, *up, *activated, *out;
    struct dt_moe_kept *experts; /* in place of up and activated; NULL: none */
};

/* One micro-batch on its way through layers that follow each other. */
struct dt_slot {
    real *in; /* of the first of them */
    struct dt_kept *kept;
};

struct dt_model;

/* Memory for the slots and the work space of a model that has its sizes. -1: no memory, and
 * model->memory_count says how many reals are wanted. dt_activations_free in either case. */
int dt_activations_take(struct dt_model *model);
void dt_activations_free(struct dt_model *model);

#endif
