/* SPDX-License-Identifier: Apache-2.0 */
/* Operands of a product rounded to bf16, rows packed one after the other. A block takes a row. */
#include "kernel.cuh"

enum { THREADS = 256 };

static __device__ inline uint16_t to_bf16(real x)
{
    const float value = (float)x;
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    bool number = (bits & 0x7fffffff) <= 0x7f800000;
    bits = number ? bits + 0x7fff + (bits >> 16 & 1) : bits | 0x400000; /* to even; NaN stays one */
    return (uint16_t)(bits >> 16);
}

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
