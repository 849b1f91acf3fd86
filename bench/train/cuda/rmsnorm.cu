/* SPDX-License-Identifier: Apache-2.0 */
/* Normalisation by the root of the mean square: a warp takes a row. */
#include "columns.cuh"

#define EPSILON ((real)1e-5)

enum { WARPS = 8 /* rows of a block */ };

static __global__ void forward(real *out, real *inverse, const real *in, const real *weight,
                               size_t rows, size_t channels)
{
    size_t row = (size_t)blockIdx.x * WARPS + threadIdx.x / WARP, lane = threadIdx.x % WARP;
    if (row >= rows)
        return;
    in += row * channels;
    out += row * channels;
    real square = 0;
    for (size_t c = lane; c < channels; c += WARP)
        square += in[c] * in[c];
    real scale = 1 / sqrt(sum_of_warp(square) / (real)channels + EPSILON);
    for (size_t c = lane; c < channels; c += WARP)
        out[c] = in[c] * scale * weight[c];
    if (lane == 0)
        inverse[row] = scale;
}

void dt_cuda_rmsnorm_forward(real *out, real *inverse, const real *in, const real *weight,
                             size_t rows, size_t channels)
{
    DT_LAUNCH(forward, blocks_for(rows, WARPS), WARPS * WARP, 0, out, inverse, in, weight, rows,
              channels);
}

static __global__ void backward(real *d_in, const real *d_out, const real *in, const real *weight,
                                const real *inverse, size_t rows, size_t channels)
{
    size_t row = (size_t)blockIdx.x * WARPS + threadIdx.x / WARP, lane = threadIdx.x % WARP;
    if (row >= rows)
        return;
    d_in += row * channels;
    d_out += row * channels;
    in += row * channels;
    real scale = inverse[row], product = 0;
    for (size_t c = lane; c < channels; c += WARP)
        product += weight[c] * d_out[c] * (in[c] * scale);
    product = sum_of_warp(product) / (real)channels;
    for (size_t c = lane; c < channels; c += WARP)
        d_in[c] += (weight[c] * d_out[c] - in[c] * scale * product) * scale;
}

namespace
{
struct weight_slope {
    const real *d_out, *in, *inverse;
    size_t channels;
    __device__ real operator()(size_t row, size_t c) const
    {
        size_t at = row * channels + c;
        return d_out[at] * (in[at] * inverse[row]);
    }
};
} // namespace

void dt_cuda_rmsnorm_backward(real *d_in, real *d_weight, const real *d_out, const real *in,
                              const real *weight, const real *inverse, size_t rows, size_t channels,
                              bool add)
{
    DT_LAUNCH(backward, blocks_for(rows, WARPS), WARPS * WARP, 0, d_in, d_out, in, weight, inverse,
              rows, channels);
    columns::sum(d_weight, weight_slope{d_out, in, inverse, channels}, rows, channels, add);
}
