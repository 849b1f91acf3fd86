/* SPDX-License-Identifier: Apache-2.0 */
/* Communication of one process with itself: a sum over one rank is what is there. */
#include "comm.h"

#include <stdlib.h>

#include "kernels.h"
#include "reals.h"

struct state {
    real **memory;
    size_t count;
};

static int end_at_once(struct dt_comm *comm)
{
    comm->finished = ++comm->started;
    return 0;
}

static int sum_start(struct dt_comm *comm, void *data, size_t count, enum dt_comm_type type,
                     struct dt_error *err)
{
    (void)data, (void)count, (void)type, (void)err;
    return end_at_once(comm);
}

/* What a GPU computes with is copied there, in its turn. */
static void put(const struct dt_comm *comm, real *to, const real *from, size_t count)
{
    if (comm->kernels)
        comm->kernels->copy(to, from, count);
    else
        memmove(to, from, count * sizeof *to);
}

static int scatter_start(struct dt_comm *comm, real *all, real *mine, size_t count,
                         struct dt_error *err)
{
    (void)err;
    put(comm, mine, all, count);
    return end_at_once(comm);
}

static int gather_start(struct dt_comm *comm, const real *mine, real *all, size_t count,
                        struct dt_error *err)
{
    (void)err;
    put(comm, all, mine, count);
    return end_at_once(comm);
}

static int all_to_all_start(struct dt_comm *comm, const real *all, const size_t *send, real *mine,
                            const size_t *receive, size_t most, struct dt_error *err)
{
    (void)receive, (void)most, (void)err;
    put(comm, mine, all, *send);
    return end_at_once(comm);
}

static int send_start(struct dt_comm *comm, struct dt_message *message, const real *data,
                      size_t count, int to, struct dt_error *err)
{
    (void)message, (void)data;
    return dt_comm_break(comm, err, "message of %zu reals to rank %d: there is one rank alone",
                         count, to);
}

static int receive_start(struct dt_comm *comm, struct dt_message *message, real *data, size_t count,
                         int from, struct dt_error *err)
{
    (void)message, (void)data;
    return dt_comm_break(comm, err, "message of %zu reals from rank %d: there is one rank alone",
                         count, from);
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

static int split(struct dt_comm *comm, int color, struct dt_comm *part, struct dt_error *err)
{
    (void)comm, (void)color, (void)err;
    dt_comm_single_open(part);
    return 0;
}

static real *memory(struct dt_comm *comm, size_t count)
{
    struct state *state = comm->state ? comm->state : calloc(1, sizeof *state);
    comm->state = state;
    real **grown = state ? realloc(state->memory, (state->count + 1) * sizeof *grown) : NULL;
    if (!grown)
        return NULL;
    state->memory = grown;
    grown[state->count] = dt_reals(count);
    return grown[state->count++];
}

static void end(struct dt_comm *comm, int code)
{
    (void)comm;
    exit(code);
}

static void close_single(struct dt_comm *comm)
{
    struct state *state = comm->state;
    for (size_t i = 0; state && i < state->count; i++)
        dt_memory_free(state->memory[i]);
    if (state)
        free(state->memory);
    free(state);
    comm->state = NULL;
}

void dt_comm_single_open(struct dt_comm *comm)
{
    static const struct dt_comm_operations operations = {.sum_start = sum_start,
                                                         .scatter_start = scatter_start,
                                                         .gather_start = gather_start,
                                                         .all_to_all_start = all_to_all_start,
                                                         .send_start = send_start,
                                                         .receive_start = receive_start,
                                                         .poll = nothing,
                                                         .broadcast = broadcast,
                                                         .allgather = allgather,
                                                         .split = split,
                                                         .memory = memory,
                                                         .abort = end,
                                                         .close = close_single};
    *comm =
        (struct dt_comm){.rank = 0, .size = 1, .manner = "one process", .operations = &operations};
}
