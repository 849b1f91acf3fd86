/* SPDX-License-Identifier: Apache-2.0 */
/* Layer normalisation: a warp takes a row. */
#include "columns.cuh"

#define EPSILON ((real)1e-5)

enum { WARPS = 8 /* rows of a block */ };

static __global__ void forward(real *out, real *mean, real *inverse, const real *in,
                               const real *weight, const real *bias, size_t rows, size_t channels)
{
    size_t row = (size_t)blockIdx.x * WARPS + threadIdx.x / WARP, lane = threadIdx.x % WARP;
    if (row >= rows)
        return;
    in += row * channels;
    out += row * channels;
    real sum = 0, square = 0;
    for (size_t c = lane; c < channels; c += WARP)
        sum += in[c];
    real middle = sum_of_warp(sum) / (real)channels;
    for (size_t c = lane; c < channels; c += WARP) {
        real away = in[c] - middle;
        square += away * away;
    }
    real scale = 1 / sqrt(sum_of_warp(square) / (real)channels + EPSILON);
    for (size_t c = lane; c < channels; c += WARP)
        out[c] = (in[c] - middle) * scale * weight[c] + bias[c];
    if (lane == 0) {
        mean[row] = middle;
        inverse[row] = scale;
    }
}

void dt_cuda_layernorm_forward(real *out, real *mean, real *inverse, const real *in,
                               const real *weight, const real *bias, size_t rows, size_t channels)
{
    DT_LAUNCH(forward, blocks_for(rows, WARPS), WARPS * WARP, 0, out, mean, inverse, in, weight,
              bias, rows, channels);
}

static __global__ void backward(real *d_in, const real *d_out, const real *in, const real *weight,
                                const real *mean, const real *inverse, size_t rows, size_t channels)
{
    size_t row = (size_t)blockIdx.x * WARPS + threadIdx.x / WARP, lane = threadIdx.x % WARP;
    if (row >= rows)
        return;
    d_in += row * channels;
    d_out += row * channels;
    in += row * channels;
    real middle = mean[row], scale = inverse[row], sum = 0, product = 0;
    for (size_t c = lane; c < channels; c += WARP) {
        real slope = weight[c] * d_out[c];
        sum += slope;
        product += slope * ((in[c] - middle) * scale);
    }
    sum = sum_of_warp(sum) / (real)channels;
    product = sum_of_warp(product) / (real)channels;
    for (size_t c = lane; c < channels; c += WARP) {
        real normal = (in[c] - middle) * scale;
        d_in[c] += (weight[c] * d_out[c] - sum - normal * product) * scale;
    }
}

namespace
{
struct weight_slope {
    const real *d_out, *in, *mean, *inverse;
    size_t channels;
    __device__ real operator()(size_t row, size_t c) const
    {
        size_t at = row * channels + c;
        return d_out[at] * ((in[at] - mean[row]) * inverse[row]);
    }
};
} // namespace

void dt_cuda_layernorm_backward(real *d_in, real *d_weight, real *d_bias, const real *d_out,
                                const real *in, const real *weight, const real *mean,
                                const real *inverse, size_t rows, size_t channels, bool add)
{
    DT_LAUNCH(backward, blocks_for(rows, WARPS), WARPS * WARP, 0, d_in, d_out, in, weight, mean,
              inverse, rows, channels);
    columns::sum(d_weight, weight_slope{d_out, in, mean, inverse, channels}, rows, channels, add);
    dt_cuda_column_sums(d_bias, d_out, rows, channels, add);
}
