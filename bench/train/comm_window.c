/* SPDX-License-Identifier: Apache-2.0 */
/* Collectives in shared memory, at the speed of memory. A rank tells the others by three counters
 * how far it is, in pieces: its data can be read; its slice of a sum is made; it is done with the
 * others' data. Data that lie in the window already are read where they are, others go through slots. */
#include "comm_window.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "clock.h"
#include "comm_queue.h"
#include "comm_window_pairs.h"
#include "reals.h"

enum { SLOTS = 4, SLOT_BYTES = 256 << 10 };

struct counters {
    _Alignas(64) _Atomic uint64_t ready;
    _Alignas(64) _Atomic uint64_t summed;
    _Alignas(64) _Atomic uint64_t done;
};

struct window {
    struct dt_window_memory memory;
    struct dt_queue queue;
    struct dt_pairs pairs;
    struct dt_segment *segments; /* the first: counters, slots, and what pairs want */
    size_t segment_count;
    void **sources;
};

static struct counters *counters_of(const struct window *w, int rank)
{
    return (struct counters *)(void *)w->segments[0].bases[rank];
}

static char *slot_of(const struct window *w, int rank, uint64_t number)
{
    return w->segments[0].bases[rank] + sizeof(struct counters) + number % SLOTS * SLOT_BYTES;
}

static int take_segment(struct window *w, int size, size_t bytes)
{
    struct dt_segment *grown = realloc(w->segments, (w->segment_count + 1) * sizeof *grown);
    char **bases = calloc((size_t)size, sizeof *bases);
    if (grown)
        w->segments = grown;
    /* the others are in take already: a rank without memory asks for more than there is */
    if (w->memory.take(w->memory.context, grown && bases ? bytes : SIZE_MAX / 2, (void **)bases) <
            0 ||
        !grown || !bases) {
        free(bases);
        return -1;
    }
    w->segments[w->segment_count++] = (struct dt_segment){bases, bytes};
    return 0;
}

enum counter { READY, SUMMED, DONE };

/* Have all ranks passed piece `number`? */
static bool all_past(const struct dt_comm *comm, enum counter which, uint64_t number)
{
    for (int r = 0; r < comm->size; r++) {
        struct counters *c = counters_of(comm->state, r);
        _Atomic uint64_t *counter = which == READY    ? &c->ready
                                    : which == SUMMED ? &c->summed
                                                      : &c->done;
        if (atomic_load_explicit(counter, memory_order_acquire) <= number)
            return false;
    }
    return true;
}

static void pass(_Atomic uint64_t *counter, uint64_t number)
{
    atomic_store_explicit(counter, number + 1, memory_order_release);
}

/* Where the piece's `in` of rank r begins, as this rank sees it. */
static char *in_of(const struct dt_comm *comm, const struct dt_piece *piece, int r)
{
    const struct window *w = comm->state;
    if (!piece->direct)
        return slot_of(w, r, piece->number);
    for (size_t s = 1;; s++) {
        char *own = w->segments[s].bases[comm->rank];
        if (piece->in < own || piece->in >= own + w->segments[s].bytes)
            continue;
        ptrdiff_t offset = piece->in - own;
        if (piece->kind == DT_PIECE_GATHER && dt_piece_in_place(piece, comm->rank))
            offset += (ptrdiff_t)(r - comm->rank) *
                      (ptrdiff_t)(piece->stride * dt_type_size(piece->type));
        return w->segments[s].bases[r] + offset;
    }
}

static void copy_in(const struct dt_comm *comm, const struct dt_piece *piece)
{
    size_t size = dt_type_size(piece->type), bytes = piece->count * size;
    char *slot = slot_of(comm->state, comm->rank, piece->number);
    if (piece->kind == DT_PIECE_BROADCAST && piece->root != comm->rank)
        return;
    for (int r = 0; piece->kind == DT_PIECE_ALL_TO_ALL && r < comm->size; r++) {
        if (r == comm->rank)
            continue;
        struct dt_slice run = dt_piece_run(piece, piece->send, r);
        memcpy(slot + (size_t)r * bytes, piece->in + run.begin * size, run.count * size);
    }
    if (piece->kind == DT_PIECE_ALL_TO_ALL)
        return;
    if (piece->kind != DT_PIECE_SCATTER) {
        memcpy(slot, piece->in, bytes);
        return;
    }
    for (int r = 0; r < comm->size; r++)
        memcpy(slot + (size_t)r * bytes, piece->in + (size_t)r * piece->stride * size, bytes);
}

/* Data of this rank can be read by the others: at once where they lie in the window, else as soon
 * as the slot has been read by all. */
static bool publish(const struct dt_comm *comm, struct dt_piece *piece)
{
    if (!piece->direct) {
        if (piece->number >= SLOTS && !all_past(comm, DONE, piece->number - SLOTS))
            return false;
        copy_in(comm, piece);
    }
    piece->stage = 1;
    pass(&counters_of(comm->state, comm->rank)->ready, piece->number);
    return true;
}

/* Of all ranks the elements that this one sums; they may be the places for the sum, too. */
static void **sources_of(const struct dt_comm *comm, const struct dt_piece *piece,
                         struct dt_slice slice)
{
    struct window *w = comm->state;
    for (int r = 0; r < comm->size; r++)
        w->sources[r] = in_of(comm, piece, r) + slice.begin * dt_type_size(piece->type);
    return w->sources;
}

/* Through slots, the sum is left in one's own for the others to fetch. Data that all ranks see are read
 * by nobody else here, so it is written to all of them: a real is read once and written once a rank,
 * and the others have nothing to fetch. */
static void sum_slice(const struct dt_comm *comm, const struct dt_piece *piece)
{
    struct dt_slice slice = dt_slice_of(piece->count, comm->rank, comm->size);
    void **sources = sources_of(comm, piece, slice);
    if (piece->direct)
        dt_sum_everywhere(sources, comm->size, slice.count, piece->type);
    else
        dt_sum_ordered(sources[comm->rank], sources, comm->size, slice.count, piece->type);
}

static void sum_part(const struct dt_comm *comm, const struct dt_piece *piece)
{
    struct dt_slice part = {(size_t)comm->rank * (piece->direct ? piece->stride : piece->count),
                            piece->count};
    dt_sum_ordered(piece->out, sources_of(comm, piece, part), comm->size, part.count, piece->type);
}

/* The sums that all have made, from their slots. */
static void copy_sums(const struct dt_comm *comm, const struct dt_piece *piece)
{
    size_t size = dt_type_size(piece->type);
    for (int i = 0; i < comm->size; i++) {
        int r = (comm->rank + i) % comm->size; /* not all from the same one at once */
        struct dt_slice slice = dt_slice_of(piece->count, r, comm->size);
        memcpy(piece->out + slice.begin * size, in_of(comm, piece, r) + slice.begin * size,
               slice.count * size);
    }
}

static void copy_parts(const struct dt_comm *comm, const struct dt_piece *piece)
{
    size_t size = dt_type_size(piece->type), bytes = piece->count * size;
    for (int i = 0; i < comm->size; i++) {
        int r = (comm->rank + i) % comm->size;
        if (r != comm->rank || !dt_piece_in_place(piece, r))
            memcpy(piece->out + (size_t)r * piece->stride * size, in_of(comm, piece, r), bytes);
    }
}

/* What each rank has for this one lies in its slot at this one's place. */
static void copy_runs(const struct dt_comm *comm, const struct dt_piece *piece)
{
    size_t size = dt_type_size(piece->type), place = (size_t)comm->rank * piece->count * size;
    for (int i = 1; i < comm->size; i++) {
        int r = (comm->rank + i) % comm->size;
        struct dt_slice run = dt_piece_run(piece, piece->receive, r);
        memcpy(piece->out + run.begin * size, in_of(comm, piece, r) + place, run.count * size);
    }
}

static void work_stage1(const struct dt_comm *comm, struct dt_piece *piece)
{
    struct counters *mine = counters_of(comm->state, comm->rank);
    if (piece->kind == DT_PIECE_SUM)
        sum_slice(comm, piece);
    if (piece->kind == DT_PIECE_SUM && !piece->direct) {
        piece->stage = 2;
        pass(&mine->summed, piece->number);
        return;
    }
    if (piece->kind == DT_PIECE_SCATTER)
        sum_part(comm, piece);
    if (piece->kind == DT_PIECE_GATHER)
        copy_parts(comm, piece);
    if (piece->kind == DT_PIECE_ALL_TO_ALL)
        copy_runs(comm, piece);
    if (piece->kind == DT_PIECE_BROADCAST && piece->root != comm->rank)
        memcpy(piece->out, in_of(comm, piece, piece->root),
               piece->count * dt_type_size(piece->type));
    piece->stage = 3;
    pass(&mine->done, piece->number);
}

/* As far as the others let it. Stage 3: this rank has all it wants; others may still read here. */
static bool work(const struct dt_comm *comm, struct dt_piece *piece)
{
    if (piece->stage == 1 && all_past(comm, READY, piece->number))
        work_stage1(comm, piece);
    if (piece->stage == 2 && all_past(comm, SUMMED, piece->number)) {
        copy_sums(comm, piece);
        piece->stage = 3;
        pass(&counters_of(comm->state, comm->rank)->done, piece->number);
    }
    return piece->stage == 3;
}

static int poll_window(struct dt_comm *comm, struct dt_error *err)
{
    struct window *w = comm->state;
    struct dt_queue *q = &w->queue;
    for (size_t i = 0;
         i < q->count && (dt_queue_at(q, i)->stage > 0 || publish(comm, dt_queue_at(q, i)));)
        i++;
    for (size_t i = 0; i < q->count && work(comm, dt_queue_at(q, i));)
        i++;
    while (q->count > 0) {
        const struct dt_piece *head = dt_queue_at(q, 0);
        if (head->stage < 3 || (head->direct && !all_past(comm, DONE, head->number)))
            break;
        dt_queue_pop(q, comm);
    }
    return dt_pairs_poll(&w->pairs, comm, w->segments, err);
}

static int start(struct dt_comm *comm, struct dt_piece whole, struct dt_error *err)
{
    struct window *w = comm->state;
    size_t limit = SLOT_BYTES / dt_type_size(whole.type);
    /* where in another rank's data its run for this one begins is not known here: through slots */
    bool may_be_direct = whole.kind != DT_PIECE_ALL_TO_ALL;
    for (size_t s = 1; s < w->segment_count && may_be_direct && !whole.direct; s++) {
        char *own = w->segments[s].bases[comm->rank];
        whole.direct = whole.in >= own && whole.in < own + w->segments[s].bytes;
    }
    if (whole.kind == DT_PIECE_SCATTER || whole.kind == DT_PIECE_ALL_TO_ALL)
        limit /= (size_t)comm->size;
    double begin = dt_seconds();
    int rc = dt_queue_add(&w->queue, comm, &whole, whole.direct ? 0 : limit, err);
    if (rc == 0)
        rc = poll_window(comm, err);
    comm->spent_s += dt_seconds() - begin;
    return rc;
}

static int sum_start(struct dt_comm *comm, void *data, size_t count, enum dt_comm_type type,
                     struct dt_error *err)
{
    return start(comm,
                 (struct dt_piece){
                     .kind = DT_PIECE_SUM, .type = type, .in = data, .out = data, .count = count},
                 err);
}

static int scatter_start(struct dt_comm *comm, real *all, real *mine, size_t count,
                         struct dt_error *err)
{
    return start(comm,
                 (struct dt_piece){.kind = DT_PIECE_SCATTER,
                                   .type = DT_COMM_REAL,
                                   .in = (char *)all,
                                   .out = (char *)mine,
                                   .count = count,
                                   .stride = count},
                 err);
}

static int gather_start(struct dt_comm *comm, const real *mine, real *all, size_t count,
                        struct dt_error *err)
{
    return start(comm,
                 (struct dt_piece){.kind = DT_PIECE_GATHER,
                                   .type = DT_COMM_REAL,
                                   .in = (char *)mine,
                                   .out = (char *)all,
                                   .count = count,
                                   .stride = count},
                 err);
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
    return start(comm, whole, err);
}

static int broadcast(struct dt_comm *comm, void *data, size_t bytes, int root, struct dt_error *err)
{
    struct dt_piece whole = {.kind = DT_PIECE_BROADCAST,
                             .type = DT_COMM_BYTE,
                             .in = data,
                             .out = data,
                             .count = bytes,
                             .root = root};
    return start(comm, whole, err) < 0 ? -1 : dt_comm_drain(comm, err);
}

static int allgather(struct dt_comm *comm, const void *mine, void *all, size_t bytes,
                     struct dt_error *err)
{
    struct dt_piece whole = {.kind = DT_PIECE_GATHER,
                             .type = DT_COMM_BYTE,
                             .in = (char *)mine,
                             .out = all,
                             .count = bytes,
                             .stride = bytes};
    return start(comm, whole, err) < 0 ? -1 : dt_comm_drain(comm, err);
}

static int send_start(struct dt_comm *comm, struct dt_message *message, const real *data,
                      size_t count, int to, struct dt_error *err)
{
    struct window *w = comm->state;
    *message = (struct dt_message){
        .data = (char *)data, .bytes = count * sizeof *data, .peer = to, .sent = true};
    return dt_pairs_start(&w->pairs, comm, message, w->segments, w->segment_count, err);
}

static int receive_start(struct dt_comm *comm, struct dt_message *message, real *data, size_t count,
                         int from, struct dt_error *err)
{
    struct window *w = comm->state;
    *message =
        (struct dt_message){.data = (char *)data, .bytes = count * sizeof *data, .peer = from};
    return dt_pairs_start(&w->pairs, comm, message, w->segments, w->segment_count, err);
}

static real *memory(struct dt_comm *comm, size_t count)
{
    struct window *w = comm->state;
    if (count > SIZE_MAX / sizeof(real) / 2 ||
        take_segment(w, comm->size, count * sizeof(real)) < 0)
        return NULL;
    dt_reals_note(count);
    return (real *)(void *)w->segments[w->segment_count - 1].bases[comm->rank];
}

static void close_window(struct dt_comm *comm)
{
    struct window *w = comm->state;
    if (!w)
        return;
    w->memory.close(w->memory.context);
    for (size_t s = 0; s < w->segment_count; s++)
        free(w->segments[s].bases);
    free(w->segments);
    free(w->sources);
    dt_queue_fini(&w->queue);
    dt_pairs_close(&w->pairs);
    free(w);
    comm->state = NULL;
}

const struct dt_comm_operations dt_comm_window_operations = {.sum_start = sum_start,
                                                             .scatter_start = scatter_start,
                                                             .gather_start = gather_start,
                                                             .all_to_all_start = all_to_all_start,
                                                             .send_start = send_start,
                                                             .receive_start = receive_start,
                                                             .poll = poll_window,
                                                             .broadcast = broadcast,
                                                             .allgather = allgather,
                                                             .memory = memory,
                                                             .close = close_window};

int dt_comm_window_open(struct dt_comm *comm, int rank, int size,
                        const struct dt_window_memory *from, struct dt_error *err)
{
    struct window *w = calloc(1, sizeof *w);
    *comm = (struct dt_comm){.rank = rank,
                             .size = size,
                             .manner = "shared window",
                             .operations = &dt_comm_window_operations,
                             .state = w};
    if (w) {
        w->memory = *from;
        w->sources = calloc((size_t)size, sizeof *w->sources);
        size_t pairs = sizeof(struct counters) + (size_t)SLOTS * SLOT_BYTES;
        bool there = dt_pairs_open(&w->pairs, size, pairs) == 0 && w->sources;
        if (take_segment(w, size, there ? pairs + dt_pairs_bytes(size) : SIZE_MAX / 2) == 0)
            return 0;
    }
    dt_error_set(err, "no shared memory for %d ranks of this node", size);
    if (w)
        close_window(comm);
    else
        from->close(from->context);
    return -1;
}
