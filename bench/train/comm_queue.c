/* SPDX-License-Identifier: Apache-2.0 */
/* The queue of pieces; see comm_queue.h. */
#include "comm_queue.h"

#include <stdlib.h>

enum { LINE = 64 / sizeof(real) };

size_t dt_type_size(enum dt_comm_type type)
{
    return type == DT_COMM_REAL ? sizeof(real) : type == DT_COMM_DOUBLE ? sizeof(double) : 1;
}

struct dt_piece *dt_queue_at(struct dt_queue *queue, size_t index)
{
    return &queue->pieces[(queue->first + index) % queue->capacity];
}

static int grow(struct dt_queue *queue, struct dt_comm *comm, struct dt_error *err)
{
    size_t capacity = queue->capacity ? 2 * queue->capacity : 64;
    struct dt_piece *pieces = calloc(capacity, sizeof *pieces);
    if (!pieces)
        return dt_comm_break(comm, err, "no memory for %zu pieces of communication", capacity);
    for (size_t i = 0; i < queue->count; i++)
        pieces[i] = *dt_queue_at(queue, i);
    free(queue->pieces);
    queue->pieces = pieces;
    queue->capacity = capacity;
    queue->first = 0;
    return 0;
}

int dt_queue_add(struct dt_queue *queue, struct dt_comm *comm, const struct dt_piece *whole,
                 size_t limit, struct dt_error *err)
{
    size_t size = dt_type_size(whole->type), at = 0;
    do {
        if (queue->count == queue->capacity && grow(queue, comm, err) < 0)
            return -1;
        struct dt_piece *piece = dt_queue_at(queue, queue->count++);
        *piece = *whole;
        if (whole->kind == DT_PIECE_ALL_TO_ALL) {
            piece->at = at;
        } else {
            piece->in += at * size;
            piece->out += at * size;
        }
        piece->count = limit > 0 && whole->count - at > limit ? limit : whole->count - at;
        piece->number = queue->next++;
        at += piece->count;
        piece->last = at == whole->count;
    } while (at < whole->count);
    comm->started++;
    return 0;
}

void dt_queue_pop(struct dt_queue *queue, struct dt_comm *comm)
{
    comm->finished += dt_queue_at(queue, 0)->last;
    queue->first = (queue->first + 1) % queue->capacity;
    queue->count--;
}

void dt_queue_fini(struct dt_queue *queue)
{
    free(queue->pieces);
    *queue = (struct dt_queue){0};
}

bool dt_piece_in_place(const struct dt_piece *piece, int rank)
{
    size_t own = (size_t)rank * piece->stride * dt_type_size(piece->type);
    return piece->kind == DT_PIECE_GATHER    ? piece->in == piece->out + own
           : piece->kind == DT_PIECE_SCATTER ? piece->out == piece->in + own
                                             : true;
}

struct dt_slice dt_piece_run(const struct dt_piece *piece, const size_t *counts, int r)
{
    size_t first = 0, left = counts[r] > piece->at ? counts[r] - piece->at : 0;
    for (int i = 0; i < r; i++)
        first += counts[i];
    return (struct dt_slice){first + piece->at, left < piece->count ? left : piece->count};
}

void dt_piece_copy_own(const struct dt_comm *comm, const struct dt_piece *piece)
{
    size_t size = dt_type_size(piece->type);
    struct dt_slice from = dt_piece_run(piece, piece->send, comm->rank);
    struct dt_slice to = dt_piece_run(piece, piece->receive, comm->rank);
    /* it may be longer than `most`, which is of two ranks */
    memcpy(piece->out + to.begin * size, piece->in + from.begin * size,
           piece->receive[comm->rank] * size);
}

struct dt_slice dt_slice_of(size_t count, int rank, int size)
{
    size_t share = (count + (size_t)size - 1) / (size_t)size;
    share = (share + LINE - 1) / LINE * LINE;
    size_t begin = (size_t)rank * share;
    begin = begin < count ? begin : count;
    return (struct dt_slice){begin, count - begin < share ? count - begin : share};
}
