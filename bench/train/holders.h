/* SPDX-License-Identifier: Apache-2.0 */
/* Which ranks hold the same pieces of the model. Found out from what each rank's table of tensors
 * says, so it knows nothing of dimensions: copies, tensors that all ranks of a tensor-parallel group
 * have, a table that two stages share. What follows from it: who writes which piece of a checkpoint,
 * and whose parameters must be equal bit for bit. */
#ifndef DT_TRAIN_HOLDERS_H
#define DT_TRAIN_HOLDERS_H

#include "comm.h"
#include "layout.h"

struct dt_holder {
    uint64_t key;          /* equal for equal pieces */
    uint32_t rank, tensor; /* number in that rank's own table */
};

struct dt_holders {
    struct dt_comm *comm;
    const struct dt_layout *own; /* of the arrays of this rank */
    struct dt_holder *all;       /* of all ranks, by key, then rank */
    size_t count, most;          /* most: tensors of the rank that has most */
};

/* Every rank calls it. `own` must stay. A failure to allocate breaks the communication. */
int dt_holders_open(struct dt_holders *holders, struct dt_comm *comm, const struct dt_layout *own,
                    struct dt_error *err);
void dt_holders_close(struct dt_holders *holders);

/* This rank's share of the work on a tensor of its table: reals *from to *to of it. The shares of
 * all ranks that hold the piece make it up, each real in one of them. */
void dt_holders_share(const struct dt_holders *holders, size_t tensor, size_t *from, size_t *to);

/* Are the parameters that several ranks hold the same, bit for bit? If not, says, alike on all
 * ranks, which rank, on which node, differs from what most have. Every rank calls it. */
int dt_holders_check(const struct dt_holders *holders, const real *params, struct dt_error *err);

#endif
