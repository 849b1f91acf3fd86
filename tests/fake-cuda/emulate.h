/* SPDX-License-Identifier: Apache-2.0 */
/* The language of kernels for a host's compiler, as far as bench/train/cuda speaks it. A launch runs
 * at once: blocks one after the other, and in each block one warp after the other from one barrier to
 * the next, thread by thread, all in orders drawn by lot. What a kernel gets right by luck of the order
 * alone, because a barrier is missing, comes out different with the next seed. Shared memory holds
 * NaN before a block begins, and is as large as the launch said, so that a sanitizer sees what is
 * read or written behind it.
 *
 * Whatever real threads would wait for without end, a barrier that some never reach, or a shuffle
 * that lanes are missing at, ends the process with a sentence. */
#ifndef DT_EMULATE_H
#define DT_EMULATE_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "emulated.h"

#define __global__
#define __device__
#define __launch_bounds__(...)

struct dt_index {
    unsigned x, y, z;
};
struct dim3 {
    unsigned x, y, z;
    dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_)
    {
    }
};

/* Of the thread that runs. */
extern struct dt_index threadIdx, blockIdx, blockDim, gridDim;

typedef void dt_emulated_body(void *context);
void dt_emulate_run(dim3 grid, dim3 block, size_t shared, dt_emulated_body *body, void *context);
void *dt_emulated_shared(void);

template <typename Body> static void dt_emulate(dim3 grid, dim3 block, size_t shared, Body body)
{
    dt_emulate_run(
        grid, block, shared, [](void *context) { (*static_cast<Body *>(context))(); }, &body);
}

#define __syncthreads() dt_emulated_barrier(__FILE__, __LINE__)
void dt_emulated_barrier(const char *file, int line);
int __syncthreads_or(int predicate);
void __syncwarp(void);

/* What lane (own ^ mask) gave. All lanes of the warp that have not ended take part. */
uint64_t dt_emulated_exchange(uint64_t value, int mask);

/* The instruction mma.m16n8k16 of bf16, with a warp's operands in its lanes' registers as PTX has
 * them. Sums are fp32, in the order of k. */
void dt_emulated_mma(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]);

template <typename Value> static inline Value __shfl_xor_sync(unsigned, Value value, int mask)
{
    static_assert(sizeof(Value) <= sizeof(uint64_t), "one word");
    uint64_t word = 0;
    memcpy(&word, &value, sizeof value);
    word = dt_emulated_exchange(word, mask);
    memcpy(&value, &word, sizeof value);
    return value;
}

#endif
