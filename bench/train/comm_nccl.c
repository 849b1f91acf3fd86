/* SPDX-License-Identifier: Apache-2.0 */
/* Communication of ranks that compute on GPUs: sums, shards and exchanges of real numbers by NCCL,
 * which takes them from the GPU's memory; what the host has (doubles, bytes, agreements), and messages
 * between two ranks, by the engine beneath, which reads the same memory once the GPU is done with it.
 *
 * An operation of NCCL counts as finished as soon as it is queued: whatever is started after it comes
 * after it. Who computes with its outcome waits for it by `join`, which holds up the GPU, not the
 * host. Sums are in NCCL's order, which is the same in every run of as many ranks on the same
 * machines, and is not that of the ranks (comm.h): the bits differ from those of the CPU's engines. */
#include <stdlib.h>

#include "device.h"

struct memory {
    struct memory *next;
    real *at;
};

struct state {
    struct dt_comm *host, own; /* own: where it was made by split */
    const struct dt_cuda_library *library;
    struct dt_cuda_group *group; /* NULL: not needed so far */
    struct memory *memory;
};

/* The host's operations are as many of comm's; these end in their order, and before those that are
 * started after them. */
static void take_over(struct dt_comm *comm)
{
    const struct state *s = comm->state;
    if (s->host->finished == s->host->started)
        comm->finished = comm->started;
    comm->under_way = s->host->under_way;
    comm->broken |= s->host->broken;
}

static int broken(struct dt_comm *comm)
{
    comm->broken = true;
    return -1;
}

/* The ranks start the same operations in the same order, so all come here together. What is queued is
 * awaited first: NCCL takes memory of the GPU meanwhile, which waits for what runs there. */
static int need_group(struct dt_comm *comm, struct dt_error *err)
{
    struct state *s = comm->state;
    char id[128] = "";
    if (s->group)
        return 0;
    if (s->library->kernels->wait(err) < 0 ||
        (comm->rank == 0 && s->library->groups->id(id, err) < 0) ||
        s->host->operations->broadcast(s->host, id, sizeof id, 0, err) < 0)
        return broken(comm);
    return s->library->groups->open(&s->group, id, comm->rank, comm->size, err) < 0 ? broken(comm)
                                                                                    : 0;
}

/* rc: of queueing. */
static int queued(struct dt_comm *comm, int rc)
{
    take_over(comm);
    return rc < 0 ? broken(comm) : 0;
}

static int sum_start(struct dt_comm *comm, void *data, size_t count, enum dt_comm_type type,
                     struct dt_error *err)
{
    struct state *s = comm->state;
    if (type == DT_COMM_REAL) {
        if (need_group(comm, err) < 0)
            return -1;
        return queued(comm, s->library->groups->sum(s->group, data, count, ++comm->started, err));
    }
    comm->started++;
    if (s->group && s->library->groups->mark(s->group, comm->started, err) < 0)
        return broken(comm);
    return queued(comm, s->host->operations->sum_start(s->host, data, count, type, err));
}

static int scatter_start(struct dt_comm *comm, real *all, real *mine, size_t count,
                         struct dt_error *err)
{
    struct state *s = comm->state;
    if (need_group(comm, err) < 0)
        return -1;
    return queued(comm,
                  s->library->groups->scatter(s->group, all, mine, count, ++comm->started, err));
}

static int gather_start(struct dt_comm *comm, const real *mine, real *all, size_t count,
                        struct dt_error *err)
{
    struct state *s = comm->state;
    if (need_group(comm, err) < 0)
        return -1;
    return queued(comm,
                  s->library->groups->gather(s->group, mine, all, count, ++comm->started, err));
}

static int all_to_all_start(struct dt_comm *comm, const real *all, const size_t *send, real *mine,
                            const size_t *receive, size_t most, struct dt_error *err)
{
    struct state *s = comm->state;
    (void)most;
    if (need_group(comm, err) < 0)
        return -1;
    return queued(comm, s->library->groups->all_to_all(s->group, all, send, mine, receive,
                                                       ++comm->started, err));
}

/* Messages go through the host: it reads what is computed, and writes where something may be read
 * still, so the GPU is awaited. */
static int send_start(struct dt_comm *comm, struct dt_message *message, const real *data,
                      size_t count, int to, struct dt_error *err)
{
    const struct state *s = comm->state;
    if (s->library->kernels->wait(err) < 0)
        return broken(comm);
    return queued(comm, s->host->operations->send_start(s->host, message, data, count, to, err));
}

static int receive_start(struct dt_comm *comm, struct dt_message *message, real *data, size_t count,
                         int from, struct dt_error *err)
{
    const struct state *s = comm->state;
    if (s->library->kernels->wait(err) < 0)
        return broken(comm);
    return queued(comm,
                  s->host->operations->receive_start(s->host, message, data, count, from, err));
}

static int poll_both(struct dt_comm *comm, struct dt_error *err)
{
    const struct state *s = comm->state;
    if (s->group && s->library->groups->check(s->group, err) < 0)
        return broken(comm);
    return queued(comm, s->host->operations->poll(s->host, err));
}

static int join(struct dt_comm *comm, uint64_t operation, struct dt_error *err)
{
    const struct state *s = comm->state;
    if (s->group && s->library->groups->join(s->group, operation, err) < 0)
        return broken(comm);
    return 0;
}

static int broadcast(struct dt_comm *comm, void *data, size_t bytes, int root, struct dt_error *err)
{
    const struct state *s = comm->state;
    return queued(comm, s->host->operations->broadcast(s->host, data, bytes, root, err));
}

static int allgather(struct dt_comm *comm, const void *mine, void *all, size_t bytes,
                     struct dt_error *err)
{
    const struct state *s = comm->state;
    return queued(comm, s->host->operations->allgather(s->host, mine, all, bytes, err));
}

static int split(struct dt_comm *comm, int color, struct dt_comm *part, struct dt_error *err)
{
    const struct state *s = comm->state;
    struct dt_comm host;
    if (s->host->operations->split(s->host, color, &host, err) < 0)
        return broken(comm);
    dt_comm_nccl_open(part, NULL, s->library);
    struct state *own = part->state;
    if (!own)
        return dt_comm_break(comm, err, "no memory for a group of ranks");
    own->own = host;
    own->host = &own->own;
    part->rank = host.rank;
    part->size = host.size;
    return 0;
}

static real *memory(struct dt_comm *comm, size_t count)
{
    struct state *s = comm->state;
    struct memory *one = calloc(1, sizeof *one);
    if (!one)
        return NULL;
    one->at = dt_reals(count);
    one->next = s->memory;
    s->memory = one;
    return one->at;
}

static void end(struct dt_comm *comm, int code)
{
    const struct state *s = comm->state;
    s->library->groups->abort();
    s->host->operations->abort(s->host, code);
}

static void close_both(struct dt_comm *comm)
{
    struct state *s = comm->state;
    for (struct memory *one = s->memory, *next; one; one = next) {
        next = one->next;
        dt_memory_free(one->at);
        free(one);
    }
    if (s->group)
        s->library->groups->close(s->group);
    if (s->host == &s->own)
        s->host->operations->close(s->host);
    free(s);
    comm->state = NULL;
}

void dt_comm_nccl_open(struct dt_comm *comm, struct dt_comm *host,
                       const struct dt_cuda_library *library)
{
    static const struct dt_comm_operations operations = {.sum_start = sum_start,
                                                         .scatter_start = scatter_start,
                                                         .gather_start = gather_start,
                                                         .all_to_all_start = all_to_all_start,
                                                         .send_start = send_start,
                                                         .receive_start = receive_start,
                                                         .poll = poll_both,
                                                         .join = join,
                                                         .broadcast = broadcast,
                                                         .allgather = allgather,
                                                         .split = split,
                                                         .memory = memory,
                                                         .abort = end,
                                                         .close = close_both};
    struct state *s = calloc(1, sizeof *s);
    if (s)
        *s = (struct state){.host = host, .library = library};
    *comm = (struct dt_comm){
        .manner = "NCCL", .kernels = library->kernels, .operations = &operations, .state = s};
    if (host) {
        comm->rank = host->rank;
        comm->size = host->size;
    }
}
