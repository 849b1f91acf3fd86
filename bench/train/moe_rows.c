/* SPDX-License-Identifier: Apache-2.0 */
/* Rows in the order of the experts that they chose, and back; see moe.h. */
#include "moe.h"

DT_SIMD static void add_scaled(real *restrict out, const real *restrict values, real factor,
                               size_t count)
{
#pragma omp simd
    for (size_t i = 0; i < count; i++)
        out[i] += factor * values[i];
}

DT_SIMD static real dot(const real *restrict a, const real *restrict b, size_t count)
{
    real sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < count; i++)
        sum += a[i] * b[i];
    return sum;
}

void dt_rows_sort(real *sorted, const real *rows, const size_t *slot, const real *weight,
                  size_t count, size_t chosen, size_t channels)
{
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < count * chosen; i++) {
        real *to = sorted + slot[i] * channels;
        memset(to, 0, channels * sizeof *to);
        add_scaled(to, rows + i / chosen * channels, weight ? weight[i] : 1, channels);
    }
}

void dt_rows_join(real *rows, const real *sorted, const size_t *slot, const real *weight,
                  size_t count, size_t chosen, size_t channels)
{
#pragma omp parallel for schedule(static)
    for (size_t row = 0; row < count; row++)
        for (size_t i = row * chosen; i < (row + 1) * chosen; i++)
            add_scaled(rows + row * channels, sorted + slot[i] * channels, weight ? weight[i] : 1,
                       channels);
}

void dt_rows_dot(real *dots, const real *rows, const real *sorted, const size_t *slot, size_t count,
                 size_t chosen, size_t channels)
{
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < count * chosen; i++)
        dots[i] = dot(rows + i / chosen * channels, sorted + slot[i] * channels, channels);
}
