/* SPDX-License-Identifier: Apache-2.0 */
/* Data parallelism: each rank has all of the model and a share of the batch; gradients are summed
 * over ranks bucket by bucket while backward still runs. The scale of the loss (1 / global tokens)
 * makes the sum the mean, so one rank and many take the same steps. */
#ifndef DT_TRAIN_DP_H
#define DT_TRAIN_DP_H

#include "mesh.h"
#include "model.h"

struct dt_dp {
    struct dt_comm *replicas[DT_BUCKET_KINDS]; /* over which buckets of a kind are summed */
    const struct dt_layout *layout;
    real *grads;
    bool failed; /* a hook can not return: told by dt_dp_finish */
    struct dt_error error;
};

void dt_dp_init(struct dt_dp *dp, const struct dt_mesh *mesh, const struct dt_layout *layout,
                real *grads);
struct dt_model_hooks dt_dp_hooks(struct dt_dp *dp);

/* Wait for what backward has started. */
int dt_dp_finish(struct dt_dp *dp, struct dt_error *err);

#endif
