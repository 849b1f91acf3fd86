/* SPDX-License-Identifier: Apache-2.0 */
/* Collectives made of MPI's messages between pairs, in pieces: each rank gets from every other its
 * slice, sums in the order of the ranks, and sends the sum to all. Open MPI's own collectives sum in
 * orders of their own, reduce-scatter worst, and move only a piece a call. */
#include "comm_mpi.h"

#include <stdlib.h>

#include "clock.h"
#include "comm_queue.h"
#include "reals.h"

#define PIECE_BYTES ((size_t)1 << 20) /* above it Open MPI slows down */
#define BIG_BYTES   ((size_t)1 << 30) /* counts of MPI are int */
#define SMALL_BYTES ((size_t)2048)    /* a sum this small: all data to all, one turn */

enum { IN_FLIGHT = 4 };

/* One piece on its way. */
struct flight {
    MPI_Request *requests;
    int count;
    char *parts; /* what the others sent: PIECE_BYTES in all, or SMALL_BYTES of each */
};

struct state {
    MPI_Comm group;
    struct dt_queue queue;
    struct dt_mpi_pairs pairs;
    struct flight flights[IN_FLIGHT]; /* of piece number n: n % IN_FLIGHT */
    void **sources;
    real **memory;
    size_t memory_count;
};

int dt_mpi_check(struct dt_comm *comm, int code, const char *what, struct dt_error *err)
{
    if (code == MPI_SUCCESS)
        return 0;
    char text[MPI_MAX_ERROR_STRING] = "";
    int length = 0;
    MPI_Error_string(code, text, &length);
    return dt_comm_break(comm, err, "MPI: %s failed: %s", what, text);
}

/* What goes to or comes from rank r in a turn of a piece. */
struct message {
    char *data;
    size_t bytes;
};

static bool is_small(const struct dt_piece *piece)
{
    return piece->kind == DT_PIECE_SUM && piece->count * dt_type_size(piece->type) <= SMALL_BYTES;
}

static bool sums(const struct dt_piece *piece)
{
    return piece->kind == DT_PIECE_SUM || piece->kind == DT_PIECE_SCATTER;
}

/* The slice of the piece that rank r sums. */
static struct dt_slice slice_of(const struct dt_comm *comm, const struct dt_piece *piece, int r)
{
    if (piece->kind == DT_PIECE_SCATTER)
        return (struct dt_slice){(size_t)r * piece->stride, piece->count};
    return is_small(piece) ? (struct dt_slice){0, piece->count}
                           : dt_slice_of(piece->count, r, comm->size);
}

/* Turn 0 of a sum: to r its slice of mine. Turn 1, and a gather: my part to r. */
static struct message to(const struct dt_comm *comm, const struct dt_piece *piece, int turn, int r)
{
    size_t size = dt_type_size(piece->type);
    if (piece->kind == DT_PIECE_ALL_TO_ALL) {
        struct dt_slice run = dt_piece_run(piece, piece->send, r);
        return (struct message){piece->in + run.begin * size, run.count * size};
    }
    if (!sums(piece))
        return (struct message){piece->in, piece->count * size};
    struct dt_slice slice = slice_of(comm, piece, turn == 0 ? r : comm->rank);
    return (struct message){piece->in + slice.begin * size, slice.count * size};
}

static struct message from(const struct dt_comm *comm, const struct dt_piece *piece, int turn,
                           const struct flight *flight, int r)
{
    size_t size = dt_type_size(piece->type);
    if (piece->kind == DT_PIECE_ALL_TO_ALL) {
        struct dt_slice run = dt_piece_run(piece, piece->receive, r);
        return (struct message){piece->out + run.begin * size, run.count * size};
    }
    if (!sums(piece))
        return (struct message){piece->out + (size_t)r * piece->stride * size, piece->count * size};
    struct dt_slice slice = slice_of(comm, piece, turn == 0 ? comm->rank : r);
    if (turn == 0)
        return (struct message){flight->parts + (size_t)r * slice.count * size, slice.count * size};
    return (struct message){piece->out + slice.begin * size, slice.count * size};
}

static int exchange(struct dt_comm *comm, const struct dt_piece *piece, int turn,
                    struct dt_error *err)
{
    struct state *state = comm->state;
    struct flight *flight = &state->flights[piece->number % IN_FLIGHT];
    int tag = (int)(piece->number % 8192) * 2 + turn;
    flight->count = 0;
    for (int i = 1; i < comm->size; i++) {
        int r = (comm->rank + comm->size - i) % comm->size;
        struct message m = from(comm, piece, turn, flight, r);
        if (m.bytes > 0 && dt_mpi_check(comm,
                                        MPI_Irecv(m.data, (int)m.bytes, MPI_BYTE, r, tag,
                                                  state->group, &flight->requests[flight->count++]),
                                        "receive", err) < 0)
            return -1;
    }
    for (int i = 1; i < comm->size; i++) {
        int r = (comm->rank + i) % comm->size;
        struct message m = to(comm, piece, turn, r);
        if (m.bytes > 0 && dt_mpi_check(comm,
                                        MPI_Isend(m.data, (int)m.bytes, MPI_BYTE, r, tag,
                                                  state->group, &flight->requests[flight->count++]),
                                        "send", err) < 0)
            return -1;
    }
    return 0;
}

static void sum_own(const struct dt_comm *comm, const struct dt_piece *piece)
{
    const struct state *state = comm->state;
    const struct flight *flight = &state->flights[piece->number % IN_FLIGHT];
    size_t size = dt_type_size(piece->type);
    struct dt_slice slice = slice_of(comm, piece, comm->rank);
    for (int r = 0; r < comm->size; r++)
        state->sources[r] =
            r == comm->rank ? piece->in + slice.begin * size : from(comm, piece, 0, flight, r).data;
    char *out = piece->kind == DT_PIECE_SUM ? piece->out + slice.begin * size : piece->out;
    dt_sum_ordered(out, state->sources, comm->size, slice.count, piece->type);
}

/* Stages: 0 not begun, 1 and 2 first and second turn on the way, 3 done. */
static int advance(struct dt_comm *comm, struct dt_piece *piece, struct dt_error *err)
{
    struct state *state = comm->state;
    struct flight *flight = &state->flights[piece->number % IN_FLIGHT];
    int done = 0;
    if (piece->stage == 0) {
        piece->stage = 1;
        return exchange(comm, piece, 0, err);
    }
    if (piece->stage == 3)
        return 0;
    if (dt_mpi_check(comm, MPI_Testall(flight->count, flight->requests, &done, MPI_STATUSES_IGNORE),
                     "waiting for a message", err) < 0)
        return -1;
    if (!done)
        return 0;
    bool again = piece->stage == 1 && piece->kind == DT_PIECE_SUM && !is_small(piece);
    if (piece->stage == 1 && sums(piece))
        sum_own(comm, piece);
    piece->stage = again ? 2 : 3;
    return again ? exchange(comm, piece, 1, err) : 0;
}

static int poll_messages(struct dt_comm *comm, struct dt_error *err)
{
    struct dt_queue *queue = &((struct state *)comm->state)->queue;
    for (size_t i = 0; i < queue->count && i < IN_FLIGHT; i++)
        if (advance(comm, dt_queue_at(queue, i), err) < 0)
            return -1;
    while (queue->count > 0 && dt_queue_at(queue, 0)->stage == 3)
        dt_queue_pop(queue, comm);
    return dt_mpi_pairs_poll(&((struct state *)comm->state)->pairs, comm, err);
}

static int start(struct dt_comm *comm, const struct dt_piece *whole, struct dt_error *err)
{
    struct state *state = comm->state;
    size_t limit = PIECE_BYTES / dt_type_size(whole->type);
    if (whole->kind != DT_PIECE_SUM)
        limit = limit / (size_t)comm->size + 1;
    if (whole->kind == DT_PIECE_GATHER && !dt_piece_in_place(whole, comm->rank))
        memcpy(whole->out + (size_t)comm->rank * whole->stride * dt_type_size(whole->type),
               whole->in, whole->count * dt_type_size(whole->type));
    double begin = dt_seconds();
    int rc = dt_queue_add(&state->queue, comm, whole, limit, err);
    if (rc == 0)
        rc = poll_messages(comm, err);
    comm->spent_s += dt_seconds() - begin;
    return rc;
}

static int sum_start(struct dt_comm *comm, void *data, size_t count, enum dt_comm_type type,
                     struct dt_error *err)
{
    const struct dt_piece whole = {
        .kind = DT_PIECE_SUM, .type = type, .in = data, .out = data, .count = count};
    return start(comm, &whole, err);
}

static int scatter_start(struct dt_comm *comm, real *all, real *mine, size_t count,
                         struct dt_error *err)
{
    const struct dt_piece whole = {.kind = DT_PIECE_SCATTER,
                                   .type = DT_COMM_REAL,
                                   .in = (char *)all,
                                   .out = (char *)mine,
                                   .count = count,
                                   .stride = count};
    return start(comm, &whole, err);
}

static int gather_start(struct dt_comm *comm, const real *mine, real *all, size_t count,
                        struct dt_error *err)
{
    const struct dt_piece whole = {.kind = DT_PIECE_GATHER,
                                   .type = DT_COMM_REAL,
                                   .in = (char *)mine,
                                   .out = (char *)all,
                                   .count = count,
                                   .stride = count};
    return start(comm, &whole, err);
}

static int all_to_all_start(struct dt_comm *comm, const real *all, const size_t *send, real *mine,
                            const size_t *receive, size_t most, struct dt_error *err)
{
    const struct dt_piece whole = {.kind = DT_PIECE_ALL_TO_ALL,
                                   .type = DT_COMM_REAL,
                                   .in = (char *)all,
                                   .out = (char *)mine,
                                   .count = most,
                                   .send = send,
                                   .receive = receive};
    dt_piece_copy_own(comm, &whole);
    return start(comm, &whole, err);
}

static int send_start(struct dt_comm *comm, struct dt_message *message, const real *data,
                      size_t count, int to, struct dt_error *err)
{
    struct state *state = comm->state;
    *message = (struct dt_message){
        .data = (char *)data, .bytes = count * sizeof *data, .peer = to, .sent = true};
    return dt_mpi_pairs_start(&state->pairs, comm, state->group, message, err);
}

static int receive_start(struct dt_comm *comm, struct dt_message *message, real *data, size_t count,
                         int from, struct dt_error *err)
{
    struct state *state = comm->state;
    *message =
        (struct dt_message){.data = (char *)data, .bytes = count * sizeof *data, .peer = from};
    return dt_mpi_pairs_start(&state->pairs, comm, state->group, message, err);
}

static int wait_for(struct dt_comm *comm, int started, MPI_Request *request, const char *what,
                    struct dt_error *err)
{
    int done = 0, rc = dt_mpi_check(comm, started, what, err);
    double begin = dt_seconds();
    for (unsigned turn = 0; rc == 0 && !done; turn++) {
        if (turn > 0)
            dt_comm_step_aside(turn);
        rc = dt_mpi_check(comm, MPI_Test(request, &done, MPI_STATUS_IGNORE), what, err);
        if (rc == 0)
            rc = poll_messages(comm, err);
    }
    comm->spent_s += dt_seconds() - begin;
    return rc;
}

static int broadcast(struct dt_comm *comm, void *data, size_t bytes, int root, struct dt_error *err)
{
    const struct state *state = comm->state;
    for (size_t i = 0; i < bytes; i += BIG_BYTES) {
        int part = (int)(bytes - i < BIG_BYTES ? bytes - i : BIG_BYTES);
        MPI_Request request;
        int started = MPI_Ibcast((char *)data + i, part, MPI_BYTE, root, state->group, &request);
        if (wait_for(comm, started, &request, "broadcast", err) < 0)
            return -1;
    }
    return 0;
}

static int allgather(struct dt_comm *comm, const void *mine, void *all, size_t bytes,
                     struct dt_error *err)
{
    const struct state *state = comm->state;
    MPI_Request request;
    int started = MPI_Iallgather(mine, (int)bytes, MPI_BYTE, all, (int)bytes, MPI_BYTE,
                                 state->group, &request);
    return wait_for(comm, started, &request, "allgather", err);
}

static real *memory(struct dt_comm *comm, size_t count)
{
    struct state *state = comm->state;
    real **grown = realloc(state->memory, (state->memory_count + 1) * sizeof *grown);
    if (!grown)
        return NULL;
    state->memory = grown;
    grown[state->memory_count] = dt_reals(count);
    return grown[state->memory_count++];
}

static void close_messages(struct dt_comm *comm)
{
    struct state *state = comm->state;
    for (size_t i = 0; i < state->memory_count; i++)
        dt_memory_free(state->memory[i]);
    for (int i = 0; i < IN_FLIGHT; i++) {
        free(state->flights[i].requests);
        free(state->flights[i].parts);
    }
    free(state->memory);
    free(state->sources);
    dt_queue_fini(&state->queue);
    dt_mpi_pairs_close(&state->pairs);
    MPI_Comm_free(&state->group);
    free(state);
    comm->state = NULL;
}

const struct dt_comm_operations dt_mpi_messages_operations = {.sum_start = sum_start,
                                                              .scatter_start = scatter_start,
                                                              .gather_start = gather_start,
                                                              .all_to_all_start = all_to_all_start,
                                                              .send_start = send_start,
                                                              .receive_start = receive_start,
                                                              .poll = poll_messages,
                                                              .broadcast = broadcast,
                                                              .allgather = allgather,
                                                              .memory = memory,
                                                              .close = close_messages};

int dt_mpi_messages_open(struct dt_comm *comm, MPI_Comm group, struct dt_error *err)
{
    struct state *state = calloc(1, sizeof *state);
    int rank, size;
    MPI_Comm_rank(group, &rank);
    MPI_Comm_size(group, &size);
    *comm = (struct dt_comm){.rank = rank, .size = size, .manner = "MPI in pieces", .state = state};
    bool there = state && (state->sources = calloc((size_t)size, sizeof *state->sources)) != NULL;
    for (int i = 0; there && i < IN_FLIGHT; i++) {
        /* slices are cut at cache lines, so that a rank's may be a line longer than its share */
        size_t bytes = PIECE_BYTES + (size_t)size * (SMALL_BYTES + 2 * DT_ALIGN);
        state->flights[i].requests = calloc(2 * (size_t)size, sizeof(MPI_Request));
        state->flights[i].parts = malloc(bytes);
        there = state->flights[i].requests && state->flights[i].parts;
    }
    if (!there)
        return dt_comm_break(comm, err, "no memory for the messages of %d ranks", size);
    state->group = group;
    return 0;
}
