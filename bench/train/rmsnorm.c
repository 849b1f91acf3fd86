/* SPDX-License-Identifier: Apache-2.0 */
/* Normalisation by the root of the mean square of each row. */
#include "layers.h"

#include <math.h>

#define SLICE   64 /* channels that one thread sums at a time */
#define EPSILON ((real)1e-5)

DT_SIMD static void forward_row(real *restrict out, real *inverse, const real *restrict in,
                                const real *restrict weight, size_t channels)
{
    real square = 0;
#pragma omp simd reduction(+ : square)
    for (size_t c = 0; c < channels; c++)
        square += in[c] * in[c];
    real scale = (real)(1.0 / sqrt((double)(square / (real)channels + EPSILON)));
#pragma omp simd
    for (size_t c = 0; c < channels; c++)
        out[c] = in[c] * scale * weight[c];
    *inverse = scale;
}

void dt_rmsnorm_forward(real *out, real *inverse, const real *in, const real *weight, size_t rows,
                        size_t channels)
{
#pragma omp parallel for schedule(static)
    for (size_t row = 0; row < rows; row++)
        forward_row(out + row * channels, inverse + row, in + row * channels, weight, channels);
}

DT_SIMD static void backward_row(real *restrict d_in, const real *restrict d_out,
                                 const real *restrict in, const real *restrict weight, real inverse,
                                 size_t channels)
{
    real product = 0;
#pragma omp simd reduction(+ : product)
    for (size_t c = 0; c < channels; c++)
        product += weight[c] * d_out[c] * (in[c] * inverse);
    product /= (real)channels;
#pragma omp simd
    for (size_t c = 0; c < channels; c++)
        d_in[c] += (weight[c] * d_out[c] - in[c] * inverse * product) * inverse;
}

/* One slice of channels over all rows: the order of the sum is that of the rows. */
DT_SIMD static void backward_slice(real *restrict d_weight, const real *restrict d_out,
                                   const real *restrict in, const real *restrict inverse,
                                   size_t rows, size_t channels, size_t width, bool add)
{
    real weight[SLICE] = {0};
    if (add)
        memcpy(weight, d_weight, width * sizeof(real));
    for (size_t row = 0; row < rows; row++)
        for (size_t c = 0; c < width; c++)
            weight[c] += d_out[row * channels + c] * (in[row * channels + c] * inverse[row]);
    memcpy(d_weight, weight, width * sizeof(real));
}

void dt_rmsnorm_backward(real *d_in, real *d_weight, const real *d_out, const real *in,
                         const real *weight, const real *inverse, size_t rows, size_t channels,
                         bool add)
{
#pragma omp parallel
    {
#pragma omp for schedule(static) nowait
        for (size_t row = 0; row < rows; row++)
            backward_row(d_in + row * channels, d_out + row * channels, in + row * channels, weight,
                         inverse[row], channels);
#pragma omp for schedule(static)
        for (size_t c = 0; c < channels; c += SLICE)
            backward_slice(d_weight + c, d_out + c, in + c, inverse, rows, channels,
                           channels - c < SLICE ? channels - c : SLICE, add);
    }
}
