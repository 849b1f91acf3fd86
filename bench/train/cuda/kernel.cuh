/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernels have in common: launches, sums over a warp, shared memory.
 *
 * One source, two compilers: nvcc, and the host's own with tests/fake-cuda in place of CUDA's
 * headers, where a kernel runs thread by thread in an order drawn by lot. For its sake a launch is a
 * macro, and shared memory is always one struct, whose arrays have bounds that can be checked.
 *
 * Sums run in an order that depends on sizes alone: no float is ever added by atomics, so two runs
 * agree bit for bit. */
#ifndef DT_TRAIN_KERNEL_CUH
#define DT_TRAIN_KERNEL_CUH

#include <cuda_runtime.h>

#include "internal.h"
#include "kernels_cuda.h"

enum { WARP = 32 };

/* Nothing is launched where there are no blocks. */
#define DT_LAUNCH(kernel, blocks, threads, shared, ...)                                            \
    do {                                                                                           \
        const dim3 dt_grid = (blocks);                                                             \
        if (dt_grid.x > 0) {                                                                       \
            DT_START(kernel, dt_grid, (threads), (shared), __VA_ARGS__);                           \
            dt_cuda_launched(#kernel " of " __FILE__);                                             \
        }                                                                                          \
    } while (0)

/* DT_SHARED: a reference to the block's shared memory, whose size the launch gives as
 * sizeof(type). */
#ifdef DT_CUDA_EMULATED
#include "emulate.h"
#define DT_START(kernel, blocks, threads, shared, ...)                                             \
    dt_emulate(blocks, threads, shared, [&] { (kernel)(__VA_ARGS__); })
#define DT_SHARED(type, name) type &name = *static_cast<type *>(dt_emulated_shared())
#else
#define DT_START(kernel, blocks, threads, shared, ...)                                             \
    (kernel)<<<blocks, threads, shared, dt_cuda_stream()>>>(__VA_ARGS__)
#define DT_SHARED(type, name)                                                                      \
    extern __shared__ __align__(16) unsigned char dt_shared_bytes[];                               \
    type &name = *reinterpret_cast<type *>(dt_shared_bytes)
#endif

static inline unsigned blocks_for(size_t count, size_t each)
{
    return (unsigned)((count + each - 1) / each);
}

/* All lanes get the same bits: each step adds the same two numbers on both sides. */
static __device__ inline real sum_of_warp(real value)
{
    for (int apart = WARP / 2; apart > 0; apart /= 2)
        value += __shfl_xor_sync(~0u, value, apart);
    return value;
}

/* To nearest, ties to even; NaN stays one. */
static __device__ inline uint16_t to_bf16(real x)
{
    const float value = (float)x;
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    bool number = (bits & 0x7fffffff) <= 0x7f800000;
    bits = number ? bits + 0x7fff + (bits >> 16 & 1) : bits | 0x400000;
    return (uint16_t)(bits >> 16);
}

#endif
