/* SPDX-License-Identifier: Apache-2.0 */
/* AdamW: one fused pass over parameters, gradients and both moments. */
#ifndef DT_TRAIN_ADAMW_H
#define DT_TRAIN_ADAMW_H

#include "layout.h"

struct dt_kernels;

struct dt_adamw {
    double rate, beta1, beta2, epsilon, decay;
    double scale; /* of the gradient; 1 where it is not clipped */
    long step;    /* of this update, from 1: moments are corrected for their start at 0 */
};

/* Decay applies to the tensors that the layout says so of (matrices, not gains and biases). */
void dt_adamw_update(const struct dt_kernels *kernels, const struct dt_adamw *adamw,
                     const struct dt_layout *layout, real *params, const real *grads, real *first,
                     real *second);

/* The same for one tensor, with what is the same for all its reals made before. */
struct dt_adamw_factors {
    real beta1, beta2, rate, second, epsilon, scale, keep;
};
void dt_adamw_one(const struct dt_adamw_factors *factors, real *params, const real *grads,
                  real *first, real *second, size_t count);

#endif
