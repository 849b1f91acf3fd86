/* SPDX-License-Identifier: Apache-2.0 */
/* Rotary positions: a block takes a row, a thread a pair of channels. */
#include "kernel.cuh"

enum { THREADS = 128 };

static __global__ void turn(real *qkv, const real *table, size_t time, size_t heads, size_t head,
                            size_t stride, real sign)
{
    const size_t half = head / 2;
    qkv += blockIdx.x * stride;
    table += blockIdx.x % time * head;
    for (size_t pair = threadIdx.x; pair < heads * half; pair += THREADS) {
        size_t i = pair % half;
        real *values = qkv + pair / half * head + i;
        real x = values[0], y = values[half], c = table[i], s = sign * table[half + i];
        values[0] = x * c - y * s;
        values[half] = y * c + x * s;
    }
}

void dt_cuda_rope(real *qkv, const real *table, size_t batch, size_t time, size_t heads,
                  size_t head, size_t stride, bool back)
{
    DT_LAUNCH(turn, (unsigned)(batch * time), THREADS, 0, qkv, table, time, heads, head, stride,
              (real)(back ? -1 : 1));
}
