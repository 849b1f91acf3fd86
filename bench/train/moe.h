/* SPDX-License-Identifier: Apache-2.0 */
/* Mixture of experts: in place of a layer's second half, `experts` of them, of which each row of the
 * stream takes the `chosen` best by the router's word (router.c). No row is ever dropped and none is
 * filled up: an expert works on as many rows as chose it, so that the result is the same however the
 * rows are shared out.
 *
 * Expert parallelism: each rank of a group has some of the experts. Rows go to the ranks of the
 * experts they chose and come back, forward and backward; gradients of the experts are whole then. A
 * rank's own rows are worked on while those of the others come.
 *
 * Balance: without it routers send ever more rows to ever fewer experts. The loss grows by
 * balance x experts / (chosen x T) x (rows that chose e) x (probability of e), summed over rows and
 * experts, with rows counted in each sequence of T: balance x T for a sequence shared out evenly. It
 * is counted by sequence, and not by batch, so that it does not depend on how the batch is cut. */
#ifndef DT_TRAIN_MOE_H
#define DT_TRAIN_MOE_H

#include "comm.h"
#include "layers.h"
#include "part.h"

/* What one rank needs of the model's sizes. */
struct dt_moe_shape {
    size_t experts, chosen;
    size_t first, own;       /* the experts of this rank */
    size_t channels, hidden; /* hidden: as far as this rank has it */
    size_t seq;              /* of the whole sequence */
    bool gated;              /* SwiGLU; else GELU */
    double balance;
};

struct dt_moe_shape dt_moe_shape_of(const struct dt_model_config *config,
                                    const struct dt_widths *here);

/* Of the own experts, one after the other. Biases may be NULL. */
struct dt_moe_weights {
    real *router, *up_weight, *up_bias, *down_weight, *down_bias;
};

/* What a layer keeps from forward for backward, and what all layers work in. Rows that came from
 * others are as many as chose this rank's experts: memory grows with what came. */
struct dt_moe_room {
    real *at;
    size_t count;
};
struct dt_moe_kept {
    real *probability, *weight; /* rows x experts, rows x chosen */
    real *pull;              /* sequences x experts: what the balance adds for each probability */
    real *answer;            /* the experts' outputs, in the order of `slot` */
    int *choice;             /* rows x chosen */
    size_t *slot;            /* the same: the row's place, when rows are in order of experts */
    size_t *counts;          /* ranks x experts: rows of each rank to each expert */
    struct dt_moe_room came; /* rows for the own experts, what `up` made of them, activated */
    real *memory;
};

struct dt_moe {
    struct dt_moe_shape shape;
    const struct dt_blas *blas;
    struct dt_comm *experts; /* ranks with the other experts */
    struct dt_comm *context; /* ranks with other rows of the same sequences */
    struct dt_comm *tensor;  /* ranks with other parts of `hidden`: outputs are to be summed */
    size_t max_rows;
    double scale; /* of the loss, for the gradient of the balance */
    double loss; /* sum of what the balance added, on the ranks that count it; whoever reads it sets
                     it to 0 */
    real *router, *rows; /* work: rows x experts; rows x chosen of channels, and of one */
    struct dt_moe_room room;
    size_t *runs; /* of all to all: by rank, there and back */
    real *memory;
};

/* The groups are set by the caller, and outlive it. */
int dt_moe_init(struct dt_moe *moe, const struct dt_moe_shape *shape, size_t max_rows,
                const struct dt_blas *blas, struct dt_error *err);
void dt_moe_fini(struct dt_moe *moe);
int dt_moe_kept_init(struct dt_moe_kept *kept, const struct dt_moe *moe, struct dt_error *err);
void dt_moe_kept_fini(struct dt_moe_kept *kept);

/* out: what is added to the stream; a part of it where `tensor` has more ranks than one. `time`:
 * rows of each sequence here. -1: communication failed, or no memory for what came. */
int dt_moe_forward(struct dt_moe *moe, const struct dt_moe_weights *weights,
                   struct dt_moe_kept *kept, real *out, const real *in, size_t sequences,
                   size_t time, struct dt_error *err);
/* Writes d_in (a part of it, as above) and the gradients `g`; with `add`, adds to these. */
int dt_moe_backward(struct dt_moe *moe, const struct dt_moe_weights *weights,
                    const struct dt_moe_weights *g, struct dt_moe_kept *kept, real *d_in,
                    const real *d_out, const real *in, size_t sequences, size_t time, bool add,
                    struct dt_error *err);

/* router.c: of each row's logits the probabilities, the `chosen` highest (of equal ones the first),
 * and their shares, which sum to 1. */
void dt_router_forward(real *probability, real *weight, int *choice, const real *logits,
                       size_t rows, const struct dt_moe_shape *shape);
/* pull: by sequence of `time` rows; it counts `scale` times. */
void dt_router_backward(real *d_logits, const real *d_weight, const real *probability,
                        const real *weight, const int *choice, const real *pull, double scale,
                        size_t rows, size_t time, const struct dt_moe_shape *shape);

/* moe_rows.c: each of `count` rows of `channels` has `chosen` places in the order of the experts, slot.
 * sort: sorted[slot[i]] = the row, times weight[i] (NULL: 1); join: adds to each row its sorted ones,
 * times their weights; dot: dots[i] = row . sorted[slot[i]]. */
void dt_rows_sort(real *sorted, const real *rows, const size_t *slot, const real *weight,
                  size_t count, size_t chosen, size_t channels);
void dt_rows_join(real *rows, const real *sorted, const size_t *slot, const real *weight,
                  size_t count, size_t chosen, size_t channels);
void dt_rows_dot(real *dots, const real *rows, const real *sorted, const size_t *slot, size_t count,
                 size_t chosen, size_t channels);

#endif
