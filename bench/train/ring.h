/* SPDX-License-Identifier: Apache-2.0 */
/* Context parallelism: the ranks of a group share every sequence. Each has the queries of its own
 * positions; keys and values go round the ring of ranks, a hop while the block at hand is computed
 * with, and in backward their gradients go after them, back to where they came from.
 *
 * A causal query sees what lies before it, so that shares in order would leave the first rank idle.
 * Sequences are cut in 2 N pieces instead, of which rank r has number r and number 2 N - 1 - r: then
 * each rank has as much to do as any other in every step. */
#ifndef DT_TRAIN_RING_H
#define DT_TRAIN_RING_H

#include "comm.h"
#include "layers.h"

struct dt_ring {
    struct dt_comm *comm;
    real *kv[2];   /* keys and values: of the block at hand, and of the next */
    real *d_kv[2]; /* their gradients, on the way */
    real *d_block; /* what this rank adds to them */
    bool failed;   /* while there was something to compute */
    struct dt_error error;
};

/* Can samples of `seq` tokens be shared so by `size` ranks? The sentence names the nearest that can. */
int dt_ring_check(int seq, int size, struct dt_error *err);

/* Where in its sequence row i of the `time` rows (an even number) lies that rank `rank` has. */
size_t dt_ring_place(int rank, int size, size_t time, size_t i);

/* What a rank's queries see of the keys of rank `owner`. */
struct dt_attention_span dt_ring_span(int rank, int owner, size_t time);

/* Reals of work space; for groups of one rank, which need no ring, 0. */
size_t dt_ring_work_size(const struct dt_comm *comm, const struct dt_attention_shape *most);
void dt_ring_init(struct dt_ring *ring, struct dt_comm *comm, real *work,
                  const struct dt_attention_shape *most);

/* As dt_attention_forward and _backward; shape->time: rows of this rank. Every rank of the group
 * calls them. -1: communication failed. */
int dt_ring_forward(struct dt_ring *ring, const struct dt_blas *blas, real *out, real *log_sum,
                    const real *qkv, real *work, const struct dt_attention_shape *shape,
                    struct dt_error *err);
int dt_ring_backward(struct dt_ring *ring, const struct dt_blas *blas, real *d_qkv,
                     const real *d_out, const real *out, const real *log_sum, const real *qkv,
                     real *work, const struct dt_attention_shape *shape, struct dt_error *err);

#endif
