/* SPDX-License-Identifier: Apache-2.0 */
/* Tensor parallelism: the ranks of mesh->tensor share each product of a layer. A product by rows of
 * its weight (queries, keys and values; what is before the activation; the head) reads all rows of the
 * stream and makes this rank's outputs; the one after it, by columns, makes a part of all outputs,
 * which is summed over the ranks. In between nothing is said.
 *
 * Without --sp the stream, and what is done with it (norms, residual), is the same on every rank. With
 * it each has `rows` / tp of its rows: they are gathered before the first product, and the sum after
 * the second is scattered. Backward is the mirror image. */
#ifndef DT_TRAIN_TP_H
#define DT_TRAIN_TP_H

#include "model.h"

/* Can `time` rows of a sample be shared out so (--sp)? The sentence names the nearest that can. */
int dt_tp_check(const struct dt_mesh_sizes *sizes, int time, struct dt_error *err);

/* Work space in memory that the ranks share, where there are several of them; every rank calls it.
 * It goes with the group. */
int dt_tp_take(struct dt_model *model, struct dt_error *err);

/* Of so many rows of the stream, those that are here. */
size_t dt_tp_rows(const struct dt_model *model, size_t rows);

/* All `rows` rows, of which `mine` are here: gathered into work space that the next call overwrites,
 * or, where rows are not shared, `mine` itself. */
const real *dt_tp_all(struct dt_model *model, const real *mine, size_t rows);

/* `part` (rows x channels) is this rank's part of a sum over all ranks. The sum is made while the
 * caller does something else; finish returns the rows of it that are here, which lie in `part`. */
void dt_tp_sum_start(struct dt_model *model, real *part, size_t rows);
real *dt_tp_sum_finish(struct dt_model *model, real *part, size_t rows);

/* The gradients of a norm (block.h) over all `rows` rows of the stream, also where only some are
 * here. */
struct dt_tp_norm {
    const real *in, *weight, *mean, *inverse;
    real *d_weight, *d_bias; /* d_bias NULL: the family has none */
};
void dt_tp_norm_backward(struct dt_model *model, const struct dt_tp_norm *norm, real *d_in,
                         const real *d_out, size_t rows, bool add);

#endif
