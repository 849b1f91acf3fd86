/* SPDX-License-Identifier: Apache-2.0 */
/* SwiGLU: a value let through by a gate. A block takes a row. */
#include "kernel.cuh"

enum { THREADS = 256 };

static __global__ void forward(real *out, const real *values, size_t hidden)
{
    out += blockIdx.x * hidden;
    values += blockIdx.x * 2 * hidden;
    for (size_t c = threadIdx.x; c < hidden; c += THREADS) {
        real gate = values[c];
        out[c] = gate / (1 + exp(-gate)) * values[hidden + c];
    }
}

void dt_cuda_swiglu_forward(real *out, const real *values, size_t rows, size_t hidden)
{
    DT_LAUNCH(forward, (unsigned)rows, THREADS, 0, out, values, hidden);
}

static __global__ void backward(real *d_values, const real *d_out, const real *values,
                                size_t hidden)
{
    d_values += blockIdx.x * 2 * hidden;
    d_out += blockIdx.x * hidden;
    values += blockIdx.x * 2 * hidden;
    for (size_t c = threadIdx.x; c < hidden; c += THREADS) {
        real gate = values[c], value = values[hidden + c];
        real open = 1 / (1 + exp(-gate));
        d_values[c] = d_out[c] * value * open * (1 + gate * (1 - open));
        d_values[hidden + c] = d_out[c] * gate * open;
    }
}

void dt_cuda_swiglu_backward(real *d_values, const real *d_out, const real *values, size_t rows,
                             size_t hidden)
{
    DT_LAUNCH(backward, (unsigned)rows, THREADS, 0, d_values, d_out, values, hidden);
}
