/* SPDX-License-Identifier: Apache-2.0 */
/* The CPU's table of what can be computed (kernels.h), and its work on plain arrays. */
#include "kernels.h"

#include "length.h"

static void zero(real *at, size_t count)
{
    memset(at, 0, count * sizeof *at);
}

static void copy(real *to, const real *from, size_t count)
{
    if (to != from)
        memcpy(to, from, count * sizeof *to);
}

static void copy_rows(real *to, size_t to_row, const real *from, size_t from_row, size_t columns,
                      size_t rows)
{
#pragma omp parallel for schedule(static)
    for (size_t row = 0; row < rows; row++)
        memcpy(to + row * to_row, from + row * from_row, columns * sizeof *to);
}

DT_SIMD static void add(real *restrict sum, const real *restrict values, size_t count)
{
#pragma omp simd
    for (size_t i = 0; i < count; i++)
        sum[i] += values[i];
}

static void add_keys(real *sum, const real *values, size_t batch, size_t keys, size_t time,
                     size_t row)
{
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < batch * keys; i++) {
        size_t at = (i / keys * time + i % keys) * row;
        add(sum + at, values + at, row);
    }
}

static void squares(double *sum, const real *values, size_t count)
{
    *sum = dt_squares(values, count);
}

static int wait(struct dt_error *err)
{
    (void)err;
    return 0;
}

const struct dt_kernels dt_kernels_cpu = {
    .embedding_forward = dt_embedding_forward,
    .embedding_backward = dt_embedding_backward,
    .layernorm_forward = dt_layernorm_forward,
    .layernorm_backward = dt_layernorm_backward,
    .rmsnorm_forward = dt_rmsnorm_forward,
    .rmsnorm_backward = dt_rmsnorm_backward,
    .bias_add = dt_bias_add,
    .residual_add = dt_residual_add,
    .column_sums = dt_column_sums,
    .rope = dt_rope,
    .attention_forward = dt_attention_forward,
    .attention_backward = dt_attention_backward,
    .attention_span_forward = dt_attention_span_forward,
    .attention_span_backward = dt_attention_span_backward,
    .gelu_forward = dt_gelu_forward,
    .gelu_backward = dt_gelu_backward,
    .swiglu_forward = dt_swiglu_forward,
    .swiglu_backward = dt_swiglu_backward,
    .router_forward = dt_router_forward,
    .router_backward = dt_router_backward,
    .loss_alone = dt_loss_alone,
    .loss_raise = dt_loss_raise,
    .loss_lower = dt_loss_lower,
    .rows_sort = dt_rows_sort,
    .rows_join = dt_rows_join,
    .rows_dot = dt_rows_dot,
    .adamw = dt_adamw_one,
    .product = dt_blas_spread,
    .zero = zero,
    .copy = copy,
    .copy_rows = copy_rows,
    .add = add,
    .add_keys = add_keys,
    .squares = squares,
    .wait = wait,
};
