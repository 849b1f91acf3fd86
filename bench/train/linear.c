/* SPDX-License-Identifier: Apache-2.0 */
/* Fully connected layer, and the passes that add its bias. */
#include "kernels.h"

#define SLICE 64 /* channels that one thread sums at a time */

void dt_linear_forward(const struct dt_blas *blas, real *out, const real *in, const real *weight,
                       size_t rows, size_t inputs, size_t outputs)
{
    dt_blas_all(blas, &(struct dt_product){.transpose_b = true,
                                           .m = rows,
                                           .n = outputs,
                                           .k = inputs,
                                           .a = in,
                                           .lda = inputs,
                                           .b = weight,
                                           .ldb = inputs,
                                           .c = out,
                                           .ldc = outputs});
}

DT_SIMD static void sum_slice(real *restrict sums, const real *restrict values, size_t rows,
                              size_t stride, size_t width, bool add)
{
    real sum[SLICE] = {0};
    if (add)
        memcpy(sum, sums, width * sizeof(real));
    for (size_t row = 0; row < rows; row++)
        for (size_t c = 0; c < width; c++)
            sum[c] += values[row * stride + c];
    memcpy(sums, sum, width * sizeof(real));
}

void dt_column_sums(real *sums, const real *values, size_t rows, size_t columns, bool add)
{
#pragma omp parallel for schedule(static)
    for (size_t c = 0; c < columns; c += SLICE)
        sum_slice(sums + c, values + c, rows, columns, columns - c < SLICE ? columns - c : SLICE,
                  add);
}

void dt_linear_backward_in(const struct dt_blas *blas, real *d_in, const real *d_out,
                           const real *weight, size_t rows, size_t inputs, size_t outputs)
{
    dt_blas_all(blas, &(struct dt_product){.m = rows,
                                           .n = inputs,
                                           .k = outputs,
                                           .a = d_out,
                                           .lda = outputs,
                                           .b = weight,
                                           .ldb = inputs,
                                           .c = d_in,
                                           .ldc = inputs});
}

void dt_linear_backward_weight(const struct dt_blas *blas, real *d_weight, real *d_bias,
                               const real *d_out, const real *in, size_t rows, size_t inputs,
                               size_t outputs, bool add)
{
    dt_blas_all(blas, &(struct dt_product){.transpose_a = true,
                                           .m = outputs,
                                           .n = inputs,
                                           .k = rows,
                                           .a = d_out,
                                           .lda = outputs,
                                           .b = in,
                                           .ldb = inputs,
                                           .accumulate = add,
                                           .c = d_weight,
                                           .ldc = inputs});
    if (d_bias)
        blas->kernels->column_sums(d_bias, d_out, rows, outputs, add);
}

void dt_linear_backward(const struct dt_blas *blas, real *d_in, real *d_weight, real *d_bias,
                        const real *d_out, const real *in, const real *weight, size_t rows,
                        size_t inputs, size_t outputs, bool add)
{
    dt_linear_backward_in(blas, d_in, d_out, weight, rows, inputs, outputs);
    dt_linear_backward_weight(blas, d_weight, d_bias, d_out, in, rows, inputs, outputs, add);
}

DT_SIMD static void add_row(real *restrict values, const real *restrict bias, size_t channels)
{
    for (size_t c = 0; c < channels; c++)
        values[c] += bias[c];
}

void dt_bias_add(real *values, const real *bias, size_t rows, size_t channels)
{
    if (!bias)
        return;
#pragma omp parallel for schedule(static)
    for (size_t row = 0; row < rows; row++)
        add_row(values + row * channels, bias, channels);
}

DT_SIMD static void residual_row(real *restrict out, const real *restrict residual,
                                 const real *restrict values, const real *restrict bias,
                                 size_t channels)
{
    for (size_t c = 0; c < channels; c++)
        out[c] = residual[c] + (values[c] + bias[c]);
}

DT_SIMD static void sum_row(real *restrict out, const real *restrict residual,
                            const real *restrict values, size_t channels)
{
    for (size_t c = 0; c < channels; c++)
        out[c] = residual[c] + values[c];
}

void dt_residual_add(real *out, const real *residual, const real *values, const real *bias,
                     size_t rows, size_t channels)
{
#pragma omp parallel for schedule(static)
    for (size_t row = 0; row < rows; row++) {
        size_t at = row * channels;
        if (bias)
            residual_row(out + at, residual + at, values + at, bias, channels);
        else
            sum_row(out + at, residual + at, values + at, channels);
    }
}
