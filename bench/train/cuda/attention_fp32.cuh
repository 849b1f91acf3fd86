/* SPDX-License-Identifier: Apache-2.0 */
/* Attention's tiles in fp32. Thread (x, y) of 16 x TILE / 4 has rows 4 y to 4 y + 3; of the scores
 * every 16th column from x, of a head every 16th group of channels. */
#ifndef DT_TRAIN_ATTENTION_FP32_CUH
#define DT_TRAIN_ATTENTION_FP32_CUH

#include "attention.cuh"

namespace attention
{
/* One access to shared memory. */
template <int COUNT> struct alignas(COUNT * sizeof(real)) group {
    real at[COUNT];
};

static __device__ inline group<4> four_at(const real *at)
{
    return *reinterpret_cast<const group<4> *>(at);
}

template <int TILE_, int HEAD_> struct fp32 {
    enum { TILE = TILE_, HEAD = HEAD_, ROWS = 4, SIDE = 16, THREADS = TILE / ROWS * SIDE };
    enum { COLUMNS = TILE / SIDE, CHANNELS = HEAD / SIDE };
    enum { GROUP = HEAD < 4 * SIDE ? HEAD / SIDE : 4 /* channels that lie together */ };

    /* The 4 that come after a row let 16 rows be read at once from different banks. */
    struct rows {
        real at[TILE][HEAD + 4];
    };
    struct square {
        real at[TILE][TILE + 4];
    };

    static __device__ inline unsigned row(int i)
    {
        return threadIdx.x / SIDE * ROWS + i;
    }

    static __device__ inline unsigned column(int j)
    {
        return threadIdx.x % SIDE + SIDE * j;
    }

    static __device__ inline unsigned channel(int c)
    {
        return (c / GROUP * SIDE + threadIdx.x % SIDE) * GROUP + c % GROUP;
    }

    static __device__ inline void load(rows &to, const real *from, size_t stride, size_t count,
                                       size_t head)
    {
        for (unsigned i = threadIdx.x; i < TILE * HEAD; i += THREADS) {
            unsigned row = i / HEAD, c = i % HEAD;
            to.at[row][c] = row < count && c < head ? from[row * stride + c] : 0;
        }
    }

    static __device__ inline void put(square &to, const real (&values)[ROWS][COLUMNS])
    {
#pragma unroll
        for (int i = 0; i < ROWS; i++)
#pragma unroll
            for (int j = 0; j < COLUMNS; j++)
                to.at[row(i)][column(j)] = values[i][j];
    }

    static __device__ inline void dots(real (&product)[ROWS][COLUMNS], const rows &a, const rows &b)
    {
        for (int i = 0; i < ROWS; i++)
            for (int j = 0; j < COLUMNS; j++)
                product[i][j] = 0;
#pragma unroll 4
        for (int c = 0; c < HEAD; c += 4) {
            group<4> left[ROWS];
#pragma unroll
            for (int i = 0; i < ROWS; i++)
                left[i] = four_at(&a.at[row(i)][c]);
#pragma unroll
            for (int j = 0; j < COLUMNS; j++) {
                const group<4> right = four_at(&b.at[column(j)][c]);
#pragma unroll
                for (int i = 0; i < ROWS; i++)
#pragma unroll
                    for (int k = 0; k < 4; k++)
                        product[i][j] += left[i].at[k] * right.at[k];
            }
        }
    }

    static __device__ inline void take(real (&values)[CHANNELS], const real (&row)[HEAD + 4])
    {
#pragma unroll
        for (int c = 0; c < CHANNELS; c += GROUP) {
            const group<GROUP> some = *reinterpret_cast<const group<GROUP> *>(&row[channel(c)]);
#pragma unroll
            for (int k = 0; k < GROUP; k++)
                values[c + k] = some.at[k];
        }
    }

    static __device__ inline void weigh(real (&sum)[ROWS][CHANNELS], const square &weights,
                                        const rows &b)
    {
#pragma unroll 2
        for (int k = 0; k < TILE; k += 4) {
            group<4> left[ROWS];
#pragma unroll
            for (int i = 0; i < ROWS; i++)
                left[i] = four_at(&weights.at[row(i)][k]);
#pragma unroll
            for (int n = 0; n < 4; n++) {
                real right[CHANNELS];
                take(right, b.at[k + n]);
#pragma unroll
                for (int i = 0; i < ROWS; i++)
#pragma unroll
                    for (int c = 0; c < CHANNELS; c++)
                        sum[i][c] += left[i].at[n] * right[c];
            }
        }
    }
};
} // namespace attention

#endif
