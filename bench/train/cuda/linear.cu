/* SPDX-License-Identifier: Apache-2.0 */
/* Biases of fully connected layers; their products are the library's. A block takes a row. */
#include "columns.cuh"

enum { THREADS = 256 };

namespace
{
struct value_at {
    const real *values;
    size_t columns;
    __device__ real operator()(size_t row, size_t column) const
    {
        return values[row * columns + column];
    }
};
} // namespace

void dt_cuda_column_sums(real *sums, const real *values, size_t rows, size_t columns, bool add)
{
    columns::sum(sums, value_at{values, columns}, rows, columns, add);
}

static __global__ void add_bias(real *values, const real *bias, size_t channels)
{
    values += blockIdx.x * channels;
    for (size_t c = threadIdx.x; c < channels; c += THREADS)
        values[c] += bias[c];
}

void dt_cuda_bias_add(real *values, const real *bias, size_t rows, size_t channels)
{
    if (bias)
        DT_LAUNCH(add_bias, (unsigned)rows, THREADS, 0, values, bias, channels);
}

static __global__ void add_residual(real *out, const real *residual, const real *values,
                                    const real *bias, size_t channels)
{
    size_t at = blockIdx.x * channels;
    for (size_t c = threadIdx.x; c < channels; c += THREADS)
        out[at + c] = residual[at + c] + (values[at + c] + (bias ? bias[c] : 0));
}

void dt_cuda_residual_add(real *out, const real *residual, const real *values, const real *bias,
                          size_t rows, size_t channels)
{
    DT_LAUNCH(add_residual, (unsigned)rows, THREADS, 0, out, residual, values, bias, channels);
}
