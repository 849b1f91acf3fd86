/* SPDX-License-Identifier: Apache-2.0 */
/* AdamW: one pass over parameters, gradients and both moments, a thread for each real. */
#include "kernel.cuh"

enum { THREADS = 256 };

static __global__ void update(struct dt_adamw_factors k, real *param, const real *grad, real *first,
                              real *second, size_t count)
{
    size_t i = (size_t)blockIdx.x * THREADS + threadIdx.x;
    if (i >= count)
        return;
    real g = grad[i] * k.scale;
    real m = k.beta1 * first[i] + (1 - k.beta1) * g;
    real v = k.beta2 * second[i] + (1 - k.beta2) * g * g;
    first[i] = m;
    second[i] = v;
    param[i] = param[i] * k.keep - k.rate * m / (sqrt(v * k.second) + k.epsilon);
}

void dt_cuda_adamw(const struct dt_adamw_factors *factors, real *params, const real *grads,
                   real *first, real *second, size_t count)
{
    DT_LAUNCH(update, blocks_for(count, THREADS), THREADS, 0, *factors, params, grads, first,
              second, count);
}
