/* SPDX-License-Identifier: Apache-2.0 */
/* Gradient sums overlapped with backward; see dp.h. */
#include "dp.h"

static void note(struct dt_dp *dp, int result)
{
    if (result < 0)
        dp->failed = true;
}

static void bucket_ready(void *context, size_t index)
{
    struct dt_dp *dp = context;
    const struct dt_bucket *bucket = &dp->layout->buckets[index];
    struct dt_comm *replicas = dp->replicas[bucket->kind];
    if (!dp->failed)
        note(dp, replicas->operations->sum_start(replicas, dp->grads + bucket->offset,
                                                 bucket->count, DT_COMM_REAL, &dp->error));
}

/* MPI moves only when it is called. */
static void between(void *context)
{
    struct dt_dp *dp = context;
    for (int kind = 0; kind < DT_BUCKET_KINDS && !dp->failed; kind++)
        note(dp, dt_comm_poll(dp->replicas[kind], &dp->error));
}

void dt_dp_init(struct dt_dp *dp, const struct dt_mesh *mesh, const struct dt_layout *layout,
                real *grads)
{
    *dp = (struct dt_dp){.layout = layout, .grads = grads};
    memcpy(dp->replicas, mesh->replicas, sizeof dp->replicas);
}

struct dt_model_hooks dt_dp_hooks(struct dt_dp *dp)
{
    return (struct dt_model_hooks){.bucket_ready = bucket_ready, .between = between, .context = dp};
}

int dt_dp_finish(struct dt_dp *dp, struct dt_error *err)
{
    for (int kind = 0; kind < DT_BUCKET_KINDS && !dp->failed; kind++)
        note(dp, dt_comm_drain(dp->replicas[kind], &dp->error));
    if (!dp->failed)
        return 0;
    *err = dp->error;
    return -1;
}
