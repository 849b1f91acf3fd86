/* SPDX-License-Identifier: Apache-2.0 */
/* Groups of ranks in NCCL. All operations go to one stream, in the order in which they are started; an
 * event marks the end of each for what is computed with it. A rank that dies is noticed by NCCL, or
 * is not; whoever waits for the GPU asks every group now and then. */
#include <nccl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

/* Events of the last operations: that of an older one is some later one's, which is right, too. */
enum { EVENTS = 16 };

struct dt_cuda_group {
    struct dt_cuda_group *next;
    ncclComm_t comm;
    int rank, size;
    cudaEvent_t begin, ended[EVENTS];
};

static struct dt_cuda_group *groups;

_Static_assert(NCCL_UNIQUE_ID_BYTES == 128, "what is broadcast is as long as NCCL's id");

static int check_code(ncclResult_t code, const char *what, struct dt_error *err)
{
    if (code == ncclSuccess || code == ncclInProgress)
        return 0;
    return dt_error_set(err, "NCCL: %s failed: %s (NCCL_DEBUG=WARN says more)", what,
                        ncclGetErrorString(code));
}

static int group_id(char id[128], struct dt_error *err)
{
    ncclUniqueId made;
    if (check_code(ncclGetUniqueId(&made), "making the id of a group", err) < 0)
        return -1;
    memcpy(id, made.internal, sizeof made.internal);
    return 0;
}

static int group_open(struct dt_cuda_group **opened, const char id[128], int rank, int size,
                      struct dt_error *err)
{
    ncclUniqueId theirs;
    struct dt_cuda_group *group = calloc(1, sizeof *group);
    if (!group)
        return dt_error_set(err, "no memory for a group of %d ranks", size);
    memcpy(theirs.internal, id, sizeof theirs.internal);
    group->rank = rank;
    group->size = size;
    if (check_code(ncclCommInitRank(&group->comm, size, theirs, rank), "opening a group of ranks",
                   err) < 0) {
        free(group);
        return -1;
    }
    dt_cuda_note(cudaEventCreateWithFlags(&group->begin, cudaEventDisableTiming), "an event");
    for (int i = 0; i < EVENTS; i++)
        dt_cuda_note(cudaEventCreateWithFlags(&group->ended[i], cudaEventDisableTiming),
                     "an event");
    group->next = groups;
    groups = group;
    *opened = group;
    return dt_cuda_tell(err);
}

static void group_close(struct dt_cuda_group *group)
{
    struct dt_cuda_group **at = &groups;
    while (*at && *at != group)
        at = &(*at)->next;
    if (*at)
        *at = group->next;
    cudaStreamSynchronize(dt_cuda_comm_stream());
    ncclCommDestroy(group->comm);
    cudaEventDestroy(group->begin);
    for (int i = 0; i < EVENTS; i++)
        cudaEventDestroy(group->ended[i]);
    free(group);
}

/* Without waiting for ranks that will not come. */
static void abort_all(void)
{
    for (struct dt_cuda_group *group = groups; group; group = group->next)
        ncclCommAbort(group->comm);
    groups = NULL;
}

static int check(struct dt_cuda_group *group, struct dt_error *err)
{
    ncclResult_t code = ncclSuccess;
    ncclResult_t asked = ncclCommGetAsyncError(group->comm, &code);
    if (asked != ncclSuccess)
        code = asked;
    if (code == ncclSuccess || code == ncclInProgress)
        return 0;
    if (code == ncclRemoteError)
        return dt_error_set(err,
                            "NCCL: another rank of this one's group of %d has died or can not be "
                            "reached any more (rank %d here); its own message tells why",
                            group->size, group->rank);
    return check_code(code, "communication", err);
}

int dt_cuda_groups_check(struct dt_error *err)
{
    for (struct dt_cuda_group *group = groups; group; group = group->next)
        if (check(group, err) < 0)
            return -1;
    return 0;
}

bool dt_cuda_groups_any(void)
{
    return groups != NULL;
}

/* What was computed before comes before. */
static void begin(struct dt_cuda_group *group)
{
    dt_cuda_note(cudaEventRecord(group->begin, dt_cuda_stream()), "marking a point in time");
    dt_cuda_note(cudaStreamWaitEvent(dt_cuda_comm_stream(), group->begin, 0), "waiting");
}

static int mark(struct dt_cuda_group *group, uint64_t operation, struct dt_error *err)
{
    dt_cuda_note(cudaEventRecord(group->ended[operation % EVENTS], dt_cuda_comm_stream()),
                 "marking a point in time");
    return dt_cuda_tell(err);
}

static int end(struct dt_cuda_group *group, ncclResult_t code, const char *what, uint64_t operation,
               struct dt_error *err)
{
    return check_code(code, what, err) < 0 ? -1 : mark(group, operation, err);
}

static int sum(struct dt_cuda_group *group, real *data, size_t count, uint64_t operation,
               struct dt_error *err)
{
    begin(group);
    return end(
        group,
        ncclAllReduce(data, data, count, ncclFloat, ncclSum, group->comm, dt_cuda_comm_stream()),
        "a sum", operation, err);
}

static int scatter(struct dt_cuda_group *group, const real *all, real *mine, size_t count,
                   uint64_t operation, struct dt_error *err)
{
    begin(group);
    return end(
        group,
        ncclReduceScatter(all, mine, count, ncclFloat, ncclSum, group->comm, dt_cuda_comm_stream()),
        "a sum of shards", operation, err);
}

static int gather(struct dt_cuda_group *group, const real *mine, real *all, size_t count,
                  uint64_t operation, struct dt_error *err)
{
    begin(group);
    return end(group,
               ncclAllGather(mine, all, count, ncclFloat, group->comm, dt_cuda_comm_stream()),
               "gathering shards", operation, err);
}

/* With the other ranks; all pairs in one group call, so that none waits for another. */
static ncclResult_t exchange(struct dt_cuda_group *group, const real *all, const size_t *send,
                             real *mine, const size_t *receive)
{
    cudaStream_t stream = dt_cuda_comm_stream();
    ncclResult_t code = ncclGroupStart(), ended;
    for (int r = 0; r < group->size && code == ncclSuccess; r++) {
        if (r != group->rank && send[r] > 0)
            code = ncclSend(all, send[r], ncclFloat, r, group->comm, stream);
        if (r != group->rank && receive[r] > 0 && code == ncclSuccess)
            code = ncclRecv(mine, receive[r], ncclFloat, r, group->comm, stream);
        all += send[r];
        mine += receive[r];
    }
    ended = ncclGroupEnd();
    return code == ncclSuccess ? ended : code;
}

/* In its place for what is computed next, which does not wait for the others' rows. */
static void keep_own(const struct dt_cuda_group *group, const real *all, const size_t *send,
                     real *mine, const size_t *receive)
{
    for (int r = 0; r < group->rank; r++) {
        all += send[r];
        mine += receive[r];
    }
    dt_cuda_note(cudaMemcpyAsync(mine, all, send[group->rank] * sizeof *mine, cudaMemcpyDefault,
                                 dt_cuda_stream()),
                 "copying");
}

static int all_to_all(struct dt_cuda_group *group, const real *all, const size_t *send, real *mine,
                      const size_t *receive, uint64_t operation, struct dt_error *err)
{
    keep_own(group, all, send, mine, receive);
    begin(group);
    return end(group, exchange(group, all, send, mine, receive), "an exchange of rows", operation,
               err);
}

static int join(struct dt_cuda_group *group, uint64_t operation, struct dt_error *err)
{
    dt_cuda_note(cudaStreamWaitEvent(dt_cuda_stream(), group->ended[operation % EVENTS], 0),
                 "waiting");
    return dt_cuda_tell(err);
}

const struct dt_cuda_groups dt_cuda_groups = {.id = group_id,
                                              .open = group_open,
                                              .close = group_close,
                                              .sum = sum,
                                              .scatter = scatter,
                                              .gather = gather,
                                              .all_to_all = all_to_all,
                                              .mark = mark,
                                              .join = join,
                                              .check = check,
                                              .abort = abort_all};
