/* SPDX-License-Identifier: Apache-2.0 */
/* Gradient sums overlapped with backward; see dp.h. */
#include "dp.h"

#include <stdlib.h>
#include <unistd.h>

#include "clock.h"
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
        note(dp, dp->replicas[kind]->operations->poll(dp->replicas[kind], &dp->error));
}

void dt_dp_init(struct dt_dp *dp, const struct dt_mesh *mesh, const struct dt_layout *layout,
                real *grads)
{
    *dp = (struct dt_dp){.layout = layout, .grads = grads, .rank = mesh->world->rank};
    memcpy(dp->replicas, mesh->replicas, sizeof dp->replicas);
}

struct dt_model_hooks dt_dp_hooks(struct dt_dp *dp)
{
    return (struct dt_model_hooks){.bucket_ready = bucket_ready, .between = between, .context = dp};
}

int dt_dp_finish(struct dt_dp *dp, double *exposed_s, struct dt_error *err)
{
    double begin = dt_seconds();
    for (int kind = 0; kind < DT_BUCKET_KINDS && !dp->failed; kind++)
        note(dp, dt_comm_drain(dp->replicas[kind], &dp->error));
    *exposed_s = dt_seconds() - begin;
    if (!dp->failed)
        return 0;
    *err = dp->error;
    return -1;
}

struct vote {
    uint64_t sum;
    char host[64];
    int rank; /* of all */
};

/* The checksum that most ranks have; where no two agree, that of rank 0. */
static uint64_t winner(const struct vote *votes, int count, int *supporters)
{
    uint64_t best = 0;
    *supporters = 0;
    for (int i = 0; i < count && *supporters <= count / 2; i++) {
        int same = 0;
        for (int j = 0; j < count; j++)
            same += votes[j].sum == votes[i].sum;
        if (same > *supporters) {
            *supporters = same;
            best = votes[i].sum;
        }
    }
    return best;
}

static int judge(const struct vote *votes, int count, struct dt_error *err)
{
    int supporters, odd = 0;
    uint64_t sum = winner(votes, count, &supporters);
    if (supporters == count)
        return 0;
    while (votes[odd].sum == sum)
        odd++;
    if (count == 2)
        return dt_error_set(
            err,
            "parameters of rank %d on %s and of rank %d on %s differ: memory, CPU or "
            "network of one of them is at fault; check both, and go on from the "
            "checkpoint before",
            votes[0].rank, votes[0].host, votes[1].rank, votes[1].host);
    return dt_error_set(err,
                        "parameters of rank %d on %s differ from what %d of %d ranks have: memory, "
                        "CPU or network of that node is at fault; take it out, and go on from the "
                        "checkpoint before",
                        votes[odd].rank, votes[odd].host, supporters, count);
}

int dt_dp_check(struct dt_dp *dp, const real *params, struct dt_error *err)
{
    struct dt_comm *same = dp->replicas[DT_BUCKET_EXPERTS];
    struct vote mine = {.sum = dt_hash(params, dp->layout->total * sizeof *params, 0),
                        .rank = dp->rank};
    struct vote *all = calloc((size_t)same->size, sizeof *all);
    if (!all)
        return dt_comm_break(same, err, "no memory for the checksums of %d ranks", same->size);
    gethostname(mine.host, sizeof mine.host - 1);
    int rc = same->operations->allgather(same, &mine, all, sizeof mine, err);
    if (rc == 0)
        rc = judge(all, same->size, err);
    free(all);
    return rc;
}
