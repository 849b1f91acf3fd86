/* SPDX-License-Identifier: Apache-2.0 */
/* Layer normalisation over the channels of each row. */
#include "layers.h"

#include <math.h>

#define SLICE   64 /* channels that one thread sums at a time */
#define EPSILON ((real)1e-5)

DT_SIMD static void forward_row(real *restrict out, real *mean, real *inverse,
                                const real *restrict in, const real *restrict weight,
                                const real *restrict bias, size_t channels)
{
    real sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t c = 0; c < channels; c++)
        sum += in[c];
    real middle = sum / (real)channels;
    real square = 0;
#pragma omp simd reduction(+ : square)
    for (size_t c = 0; c < channels; c++) {
        real away = in[c] - middle;
        square += away * away;
    }
    real scale = (real)(1.0 / sqrt((double)(square / (real)channels + EPSILON)));
#pragma omp simd
    for (size_t c = 0; c < channels; c++)
        out[c] = (in[c] - middle) * scale * weight[c] + bias[c];
    *mean = middle;
    *inverse = scale;
}

void dt_layernorm_forward(real *out, real *mean, real *inverse, const real *in, const real *weight,
                          const real *bias, size_t rows, size_t channels)
{
#pragma omp parallel for schedule(static)
    for (size_t row = 0; row < rows; row++)
        forward_row(out + row * channels, mean + row, inverse + row, in + row * channels, weight,
                    bias, channels);
}

DT_SIMD static void backward_row(real *restrict d_in, const real *restrict d_out,
                                 const real *restrict in, const real *restrict weight, real mean,
                                 real inverse, size_t channels)
{
    real sum = 0, product = 0;
#pragma omp simd reduction(+ : sum, product)
    for (size_t c = 0; c < channels; c++) {
        real slope = weight[c] * d_out[c];
        sum += slope;
        product += slope * ((in[c] - mean) * inverse);
    }
    sum /= (real)channels;
    product /= (real)channels;
#pragma omp simd
    for (size_t c = 0; c < channels; c++) {
        real normal = (in[c] - mean) * inverse;
        d_in[c] += (weight[c] * d_out[c] - sum - normal * product) * inverse;
    }
}

/* One slice of channels over all rows: the order of the sum is that of the rows. */
DT_SIMD static void backward_slice(real *restrict d_weight, real *restrict d_bias,
                                   const real *restrict d_out, const real *restrict in,
                                   const real *restrict mean, const real *restrict inverse,
                                   size_t rows, size_t channels, size_t width, bool add)
{
    real weight[SLICE] = {0}, bias[SLICE] = {0};
    if (add) {
        memcpy(weight, d_weight, width * sizeof(real));
        memcpy(bias, d_bias, width * sizeof(real));
    }
    for (size_t row = 0; row < rows; row++) {
        for (size_t c = 0; c < width; c++) {
            real slope = d_out[row * channels + c];
            weight[c] += slope * ((in[row * channels + c] - mean[row]) * inverse[row]);
            bias[c] += slope;
        }
    }
    memcpy(d_weight, weight, width * sizeof(real));
    memcpy(d_bias, bias, width * sizeof(real));
}

void dt_layernorm_backward(real *d_in, real *d_weight, real *d_bias, const real *d_out,
                           const real *in, const real *weight, const real *mean,
                           const real *inverse, size_t rows, size_t channels, bool add)
{
#pragma omp parallel
    {
#pragma omp for schedule(static) nowait
        for (size_t row = 0; row < rows; row++)
            backward_row(d_in + row * channels, d_out + row * channels, in + row * channels, weight,
                         mean[row], inverse[row], channels);
#pragma omp for schedule(static)
        for (size_t c = 0; c < channels; c += SLICE)
            backward_slice(d_weight + c, d_bias + c, d_out + c, in + c, mean, inverse, rows,
                           channels, channels - c < SLICE ? channels - c : SLICE, add);
    }
}
