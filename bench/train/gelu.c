/* SPDX-License-Identifier: Apache-2.0 */
/* GELU in its tanh form. 0.5 (1 + tanh u) is the logistic function of 2u, so one exponential gives
 * the value, and the same one the slope. */
#include "layers.h"

#define TWICE_ROOT_2_OVER_PI ((real)1.5957691216057308)
#define CUBIC                ((real)0.044715)
#define PIECE                1024

static inline real gate(real x)
{
    return 1 / (1 + dt_exp(-(TWICE_ROOT_2_OVER_PI * (x + CUBIC * x * x * x))));
}

DT_SIMD static void forward_row(real *restrict out, real *restrict values,
                                const real *restrict bias, size_t channels)
{
    for (size_t c = 0; c < channels; c++) {
        real x = values[c] + bias[c];
        values[c] = x;
        out[c] = x * gate(x);
    }
}

/* The bias is in `values`. */
DT_SIMD static void again_row(real *restrict out, const real *restrict values, size_t channels)
{
    for (size_t c = 0; c < channels; c++) {
        real x = values[c];
        out[c] = x * gate(x);
    }
}

void dt_gelu_forward(real *out, real *values, const real *bias, size_t rows, size_t channels)
{
#pragma omp parallel for schedule(static)
    for (size_t row = 0; row < rows; row++)
        if (bias)
            forward_row(out + row * channels, values + row * channels, bias, channels);
        else
            again_row(out + row * channels, values + row * channels, channels);
}

DT_SIMD static void backward_piece(real *restrict slope, const real *restrict values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        real x = values[i];
        real open = gate(x);
        real inner = TWICE_ROOT_2_OVER_PI * (1 + 3 * CUBIC * x * x);
        slope[i] *= open + x * open * (1 - open) * inner;
    }
}

void dt_gelu_backward(real *d_values, const real *values, size_t count)
{
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < count; i += PIECE)
        backward_piece(d_values + i, values + i, count - i < PIECE ? count - i : PIECE);
}
