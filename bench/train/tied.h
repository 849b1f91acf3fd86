/* SPDX-License-Identifier: Apache-2.0 */
/* The gradient of a tied table over the ranks that share out a step's samples. The head's part of it,
 * which has a value in every row, is final first of all in backward, and is summed while the rest of it
 * runs. The embedding's part is final last of all, but has values only in the rows of this step's
 * tokens: these alone are sent, with their tokens, and every rank adds those of all ranks to the sum, in
 * the order of the ranks and of their tokens. So copies and shards get the same bits.
 *
 * This is for a table on one stage. On two of them (--pp) both parts are sums of the whole table, as
 * they are where there are so many tokens that their rows are more than the table. */
#ifndef DT_TRAIN_TIED_H
#define DT_TRAIN_TIED_H

#include "mesh.h"
#include "part.h"

struct dt_kernels;
struct dt_layout;

struct dt_tied {
    struct dt_comm *comm; /* the ranks that have other samples and the same rows of the table */
    const struct dt_kernels *kernels;
    struct dt_range vocab; /* the rows of the table */
    size_t channels;
    int micros, noted; /* micro-batches of a step; of these, noted */
    size_t most, rows; /* of a step on one rank; noted */
    real *memory; /* of each rank in turn: the rows, and as many reals that hold their tokens */
    uint64_t operation;
};

/* Is it worth it? `rows`: of a step on one rank. */
bool dt_tied_wanted(const struct dt_layout *layout, const struct dt_comm *comm,
                    struct dt_range vocab, size_t rows);

struct dt_tied_setup {
    const struct dt_kernels *kernels;
    struct dt_range vocab;
    size_t channels;
    int micros;  /* micro-batches of a step */
    size_t rows; /* of one, at most; the same on all ranks */
};

/* Every rank of the group calls it. */
int dt_tied_open(struct dt_tied *tied, struct dt_comm *comm, const struct dt_tied_setup *setup,
                 struct dt_error *err);

/* Gradients of `rows` rows of the stream, of one micro-batch, as many as on all other ranks. Behind the
 * last one of the step they leave. */
int dt_tied_note(struct dt_tied *tied, const real *d_rows, const int *tokens, size_t rows,
                 struct dt_error *err);

/* Waits, and adds the rows of all ranks to `grads`, which are `count` reals of the table's gradient from
 * real `first` on. */
int dt_tied_finish(struct dt_tied *tied, real *grads, size_t first, size_t count,
                   struct dt_error *err);

#endif
