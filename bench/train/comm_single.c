/* SPDX-License-Identifier: Apache-2.0 */
/* Communication of one process with itself. */
#include "comm.h"

#include <stdlib.h>

static int sum_start(struct dt_comm *comm, void *data, size_t count, enum dt_comm_type type,
                     struct dt_error *err)
{
    (void)comm, (void)data, (void)count, (void)type, (void)err;
    return 0; /* the sum over one rank is what is there */
}

static int nothing(struct dt_comm *comm, struct dt_error *err)
{
    (void)comm, (void)err;
    return 0;
}

static int broadcast(struct dt_comm *comm, void *data, size_t bytes, int root, struct dt_error *err)
{
    (void)comm, (void)data, (void)bytes, (void)root, (void)err;
    return 0;
}

static int allgather(struct dt_comm *comm, const void *mine, void *all, size_t bytes,
                     struct dt_error *err)
{
    (void)comm, (void)err;
    memcpy(all, mine, bytes);
    return 0;
}

static void end(struct dt_comm *comm, int code)
{
    (void)comm;
    exit(code);
}

static void end_quietly(struct dt_comm *comm)
{
    (void)comm;
}

void dt_comm_single_open(struct dt_comm *comm)
{
    static const struct dt_comm_operations operations = {.sum_start = sum_start,
                                                         .poll = nothing,
                                                         .drain = nothing,
                                                         .broadcast = broadcast,
                                                         .allgather = allgather,
                                                         .abort = end,
                                                         .close = end_quietly};
    *comm = (struct dt_comm){.rank = 0, .size = 1, .operations = &operations};
}
