/* SPDX-License-Identifier: Apache-2.0 */
/* Operands of a product rounded to bf16, rows packed one after the other. A block takes a row. */
#include "kernel.cuh"

enum { THREADS = 256 };

static __global__ void round_row(uint16_t *to, const real *from, size_t columns, size_t stride)
{
    for (size_t c = threadIdx.x; c < columns; c += THREADS)
        to[blockIdx.x * columns + c] = to_bf16(from[blockIdx.x * stride + c]);
}

extern "C" void dt_cuda_round(uint16_t *to, const real *from, size_t rows, size_t columns,
                              size_t stride)
{
    DT_LAUNCH(round_row, (unsigned)rows, THREADS, 0, to, from, columns, stride);
}
