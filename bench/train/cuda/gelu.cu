/* SPDX-License-Identifier: Apache-2.0 */
/* GELU in its tanh form, by the logistic function; see ../gelu.c. */
#include "kernel.cuh"

#define TWICE_ROOT_2_OVER_PI ((real)1.5957691216057308)
#define CUBIC                ((real)0.044715)

enum { THREADS = 256 };

static __device__ inline real gate(real x)
{
    return 1 / (1 + exp(-(TWICE_ROOT_2_OVER_PI * (x + CUBIC * x * x * x))));
}

/* A block takes a row. The bias, where there is one, stays in `values`. */
static __global__ void forward(real *out, real *values, const real *bias, size_t channels)
{
    out += blockIdx.x * channels;
    values += blockIdx.x * channels;
    for (size_t c = threadIdx.x; c < channels; c += THREADS) {
        real x = values[c];
        if (bias) {
            x += bias[c];
            values[c] = x;
        }
        out[c] = x * gate(x);
    }
}

void dt_cuda_gelu_forward(real *out, real *values, const real *bias, size_t rows, size_t channels)
{
    DT_LAUNCH(forward, (unsigned)rows, THREADS, 0, out, values, bias, channels);
}

static __global__ void backward(real *d_values, const real *values, size_t count)
{
    size_t i = (size_t)blockIdx.x * THREADS + threadIdx.x;
    if (i >= count)
        return;
    real x = values[i], open = gate(x);
    real inner = TWICE_ROOT_2_OVER_PI * (1 + 3 * CUBIC * x * x);
    d_values[i] *= open + x * open * (1 - open) * inner;
}

void dt_cuda_gelu_backward(real *d_values, const real *values, size_t count)
{
    DT_LAUNCH(backward, blocks_for(count, THREADS), THREADS, 0, d_values, values, count);
}
