/* SPDX-License-Identifier: Apache-2.0 */
/* The length (L2 norm) of an array, as clipping of the gradient wants it. */
#ifndef DT_TRAIN_LENGTH_H
#define DT_TRAIN_LENGTH_H

#include <stddef.h>

#include "real.h"

/* Sum of squares. In double, in an order that does not depend on the number of threads; sums of
 * pieces (of ranks, of shards) add up to that of the whole. */
double dt_squares(const real *values, size_t count);

/* What to multiply a gradient of this length by, so that it is no longer than `most` (0: any). A
 * length that is not a number gives 1: the loss tells of it. */
double dt_clip_scale(double length, double most);

#endif
