/* SPDX-License-Identifier: Apache-2.0 */
/* SwiGLU: a value let through by a gate, both of them linear in the input. */
#include "layers.h"

DT_SIMD static void forward_row(real *restrict out, const real *restrict values, size_t hidden)
{
#pragma omp simd
    for (size_t c = 0; c < hidden; c++) {
        real gate = values[c];
        out[c] = gate / (1 + dt_exp(-gate)) * values[hidden + c];
    }
}

void dt_swiglu_forward(real *out, const real *values, size_t rows, size_t hidden)
{
#pragma omp parallel for schedule(static)
    for (size_t row = 0; row < rows; row++)
        forward_row(out + row * hidden, values + row * 2 * hidden, hidden);
}

DT_SIMD static void backward_row(real *restrict d_values, const real *restrict d_out,
                                 const real *restrict values, size_t hidden)
{
#pragma omp simd
    for (size_t c = 0; c < hidden; c++) {
        real gate = values[c], value = values[hidden + c];
        real open = 1 / (1 + dt_exp(-gate));
        d_values[c] = d_out[c] * value * open * (1 + gate * (1 - open));
        d_values[hidden + c] = d_out[c] * gate * open;
    }
}

void dt_swiglu_backward(real *d_values, const real *d_out, const real *values, size_t rows,
                        size_t hidden)
{
#pragma omp parallel for schedule(static)
    for (size_t row = 0; row < rows; row++)
        backward_row(d_values + row * 2 * hidden, d_out + row * hidden, values + row * 2 * hidden,
                     hidden);
}
