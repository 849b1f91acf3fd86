/* SPDX-License-Identifier: Apache-2.0 */
/* AdamW, see adamw.h. Bound by memory: seven streams, each touched once. */
#include <math.h>

#include "kernels.h"

#define PIECE 4096

DT_SIMD static void update(const struct dt_adamw_factors *f, real *restrict param,
                           const real *restrict grad, real *restrict first, real *restrict second,
                           size_t count)
{
    const struct dt_adamw_factors k = *f;
#pragma omp simd
    for (size_t i = 0; i < count; i++) {
        real g = grad[i] * k.scale;
        real m = k.beta1 * first[i] + (1 - k.beta1) * g;
        real v = k.beta2 * second[i] + (1 - k.beta2) * g * g;
        first[i] = m;
        second[i] = v;
#ifdef DT_TRAIN_DOUBLE
        real root = sqrt(v * k.second);
#else
        real root = sqrtf(v * k.second);
#endif
        param[i] = param[i] * k.keep - k.rate * m / (root + k.epsilon);
    }
}

void dt_adamw_one(const struct dt_adamw_factors *factors, real *params, const real *grads,
                  real *first, real *second, size_t count)
{
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < count; i += PIECE)
        update(factors, params + i, grads + i, first + i, second + i,
               count - i < PIECE ? count - i : PIECE);
}

void dt_adamw_update(const struct dt_kernels *kernels, const struct dt_adamw *adamw,
                     const struct dt_layout *layout, real *params, const real *grads, real *first,
                     real *second)
{
    double correct1 = 1 - pow(adamw->beta1, (double)adamw->step);
    double correct2 = 1 - pow(adamw->beta2, (double)adamw->step);
    struct dt_adamw_factors f = {.beta1 = (real)adamw->beta1,
                                 .beta2 = (real)adamw->beta2,
                                 .rate = (real)(adamw->rate / correct1),
                                 .second = (real)(1 / correct2),
                                 .epsilon = (real)adamw->epsilon,
                                 .scale = (real)adamw->scale};
    for (size_t t = 0; t < layout->tensor_count; t++) {
        const struct dt_tensor *tensor = &layout->tensors[t];
        size_t at = tensor->offset;
        f.keep = (real)(tensor->decay ? 1 - adamw->rate * adamw->decay : 1);
        kernels->adamw(&f, params + at, grads + at, first + at, second + at, tensor->count);
    }
}
