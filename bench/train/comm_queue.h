/* SPDX-License-Identifier: Apache-2.0 */
/* Operations that were started and have not ended, cut in pieces: what the shared window and MPI
 * have in common. A piece names where this rank's data are; how they travel is the engine's. */
#ifndef DT_TRAIN_COMM_QUEUE_H
#define DT_TRAIN_COMM_QUEUE_H

#include "comm.h"

enum dt_piece_kind {
    DT_PIECE_SUM,
    DT_PIECE_SCATTER,
    DT_PIECE_GATHER,
    DT_PIECE_BROADCAST,
    DT_PIECE_ALL_TO_ALL
};

struct dt_piece {
    enum dt_piece_kind kind;
    enum dt_comm_type type;
    char *in, *out; /* sum and broadcast: the same */
    size_t count;   /* elements; scatter, gather: of one rank; all to all: at most, of a pair */
    size_t stride;  /* scatter: elements between ranks in `in`; gather: in `out` */
    int root;
    const size_t *send, *receive; /* all to all: by rank, of the whole operation */
    size_t at;                    /* all to all: where in each pair's run this piece begins */
    bool last;                    /* of its operation */
    bool direct;                  /* the engine's: data lie where the others see them */
    int stage;                    /* the engine's, 0 at first */
    uint64_t number;              /* counted over all of the group: the same on all ranks */
};

struct dt_queue {
    struct dt_piece *pieces; /* a ring */
    size_t capacity, first, count;
    uint64_t next;
};

size_t dt_type_size(enum dt_comm_type type);

/* Appends an operation in pieces of at most `limit` elements (0: whole), at least one piece. */
int dt_queue_add(struct dt_queue *queue, struct dt_comm *comm, const struct dt_piece *whole,
                 size_t limit, struct dt_error *err);
struct dt_piece *dt_queue_at(struct dt_queue *queue, size_t index);
void dt_queue_pop(struct dt_queue *queue, struct dt_comm *comm);
void dt_queue_fini(struct dt_queue *queue);

/* Does this rank's part lie in its place among all? */
bool dt_piece_in_place(const struct dt_piece *piece, int rank);

/* The share of `count` elements that rank `rank` of `size` sums: cut at cache lines. */
struct dt_slice {
    size_t begin, count;
};
struct dt_slice dt_slice_of(size_t count, int rank, int size);

/* All to all: what of the run to or from rank r (counts: piece->send or piece->receive) is in this
 * piece, in elements from where the operation's data begin. */
struct dt_slice dt_piece_run(const struct dt_piece *piece, const size_t *counts, int r);

/* All to all: this rank's run for itself, which goes nowhere; of the whole operation. */
void dt_piece_copy_own(const struct dt_comm *comm, const struct dt_piece *piece);

/* out = sources[0] + sources[1] + ..., in this order; out may be one of them. */
void dt_sum_ordered(void *out, void *const *sources, int source_count, size_t count,
                    enum dt_comm_type type);

/* The same sum to all places that it is made of. These are moved on past what was summed. */
void dt_sum_everywhere(void **places, int place_count, size_t count, enum dt_comm_type type);

#endif
