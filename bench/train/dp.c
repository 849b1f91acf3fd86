/* SPDX-License-Identifier: Apache-2.0 */
/* Gradient sums overlapped with backward; see dp.h. */
#include "dp.h"

#include <stdlib.h>
#include <time.h>

#include "hash.h"

static void note(struct dt_dp *dp, int result)
{
    if (result < 0)
        dp->failed = true;
}

static void bucket_ready(void *context, size_t index)
{
    struct dt_dp *dp = context;
    const struct dt_bucket *bucket = &dp->layout->buckets[index];
    if (!dp->failed)
        note(dp, dp->comm->operations->sum_start(dp->comm, dp->grads + bucket->offset,
                                                 bucket->count, DT_COMM_REAL, &dp->error));
}

/* MPI moves only when it is called. */
static void between(void *context)
{
    struct dt_dp *dp = context;
    if (!dp->failed)
        note(dp, dp->comm->operations->poll(dp->comm, &dp->error));
}

void dt_dp_init(struct dt_dp *dp, struct dt_comm *comm, const struct dt_model *model)
{
    *dp = (struct dt_dp){.comm = comm, .layout = &model->layout, .grads = model->grads};
}

struct dt_model_hooks dt_dp_hooks(struct dt_dp *dp)
{
    return (struct dt_model_hooks){bucket_ready, between, dp};
}

int dt_dp_finish(struct dt_dp *dp, double *exposed_s, struct dt_error *err)
{
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    if (!dp->failed)
        note(dp, dp->comm->operations->drain(dp->comm, &dp->error));
    clock_gettime(CLOCK_MONOTONIC, &end);
    *exposed_s = (double)(end.tv_sec - begin.tv_sec) + 1e-9 * (double)(end.tv_nsec - begin.tv_nsec);
    if (!dp->failed)
        return 0;
    *err = dp->error;
    return -1;
}

int dt_dp_check(struct dt_dp *dp, const real *params, struct dt_error *err)
{
    int size = dp->comm->size, rc = 0;
    uint64_t *all = calloc((size_t)size, sizeof *all);
    if (!all)
        return dt_error_set(err, "no memory for the checksums of %d ranks", size);
    uint64_t mine = dt_hash(params, dp->layout->total * sizeof *params, 0);
    rc = dp->comm->operations->allgather(dp->comm, &mine, all, sizeof mine, err);
    for (int i = 1; rc == 0 && i < size; i++)
        if (all[i] != all[0])
            rc = dt_error_set(err,
                              "parameters of rank %d differ from those of rank 0 (checksum "
                              "%016llx, %016llx): memory, network or CPU of its node is at "
                              "fault; nothing was saved",
                              i, (unsigned long long)all[i], (unsigned long long)all[0]);
    free(all);
    return rc;
}
