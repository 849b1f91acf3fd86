/* SPDX-License-Identifier: Apache-2.0 */
/* Attention's tiles in bf16, for tensor cores: operands are rounded on their way into shared memory,
 * sums are fp32. A warp has 16 rows. One instruction (mma) takes 16 x 16 of one operand and 16 x 8 of
 * the other, and how these lie in the registers of a warp's lanes is the machine's: lane l has rows
 * l / 4 and l / 4 + 8 of what comes out, and two neighbours of each 8 columns. */
#ifndef DT_TRAIN_ATTENTION_BF16_CUH
#define DT_TRAIN_ATTENTION_BF16_CUH

#include "attention.cuh"

namespace attention
{
/* c[16 x 8] += a[16 x 16] * b[16 x 8] */
static __device__ inline void mma(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2])
{
#ifdef DT_CUDA_EMULATED
    dt_emulated_mma(c, a, b);
#else
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

static __device__ inline uint32_t pair_of(uint16_t low, uint16_t high)
{
    return (uint32_t)high << 16 | low;
}

/* Two neighbours, the first at an even place. */
static __device__ inline uint32_t pair_at(const uint16_t *at)
{
    return *reinterpret_cast<const uint32_t *>(at);
}

static __device__ inline void put_pair(uint16_t *at, real low, real high)
{
    *reinterpret_cast<uint32_t *>(at) = pair_of(to_bf16(low), to_bf16(high));
}

template <int TILE_, int HEAD_> struct bf16 {
    enum { TILE = TILE_, HEAD = HEAD_, ROWS = 2, SIDE = 4, THREADS = TILE / 16 * WARP };
    enum { COLUMNS = TILE / SIDE, CHANNELS = HEAD / SIDE };

    /* The 8 that come after a row let 8 rows be read at once from different banks. */
    struct rows {
        alignas(4) uint16_t at[TILE][HEAD + 8];
    };
    struct square {
        alignas(4) uint16_t at[TILE][TILE + 8];
    };

    static __device__ inline unsigned lane()
    {
        return threadIdx.x % WARP;
    }

    static __device__ inline unsigned row(int i)
    {
        return threadIdx.x / WARP * 16 + lane() / 4 + 8 * i;
    }

    static __device__ inline unsigned column(int j)
    {
        return j / 2 * 8 + lane() % 4 * 2 + j % 2;
    }

    static __device__ inline unsigned channel(int c)
    {
        return column(c);
    }

    static __device__ inline void load(rows &to, const real *from, size_t stride, size_t count,
                                       size_t head)
    {
        for (unsigned i = threadIdx.x; i < TILE * HEAD / 2; i += THREADS) {
            unsigned row = i / (HEAD / 2), c = i % (HEAD / 2) * 2;
            const real *at = from + row * stride + c;
            put_pair(&to.at[row][c], row < count && c < head ? at[0] : 0,
                     row < count && c + 1 < head ? at[1] : 0);
        }
    }

    static __device__ inline void put(square &to, const real (&values)[ROWS][COLUMNS])
    {
#pragma unroll
        for (int i = 0; i < ROWS; i++)
#pragma unroll
            for (int j = 0; j < COLUMNS; j += 2)
                put_pair(&to.at[row(i)][column(j)], values[i][j], values[i][j + 1]);
    }

    /* The warp's 16 rows, 16 columns from k: as mma wants its first operand. */
    template <int WIDTH>
    static __device__ inline void take(uint32_t (&a)[4], const uint16_t (&at)[TILE][WIDTH], int k)
    {
        const unsigned c = k + lane() % 4 * 2;
        a[0] = pair_at(&at[row(0)][c]);
        a[1] = pair_at(&at[row(1)][c]);
        a[2] = pair_at(&at[row(0)][c + 8]);
        a[3] = pair_at(&at[row(1)][c + 8]);
    }

    /* sums [i][n], [i][n + 1] of the thread are those of one mma */
    template <int COUNT>
    static __device__ inline void add(real (&sum)[ROWS][COUNT], int n, const uint32_t (&a)[4],
                                      const uint32_t (&b)[2])
    {
        float c[4] = {(float)sum[0][n], (float)sum[0][n + 1], (float)sum[1][n],
                      (float)sum[1][n + 1]};
        mma(c, a, b);
        sum[0][n] = c[0];
        sum[0][n + 1] = c[1];
        sum[1][n] = c[2];
        sum[1][n + 1] = c[3];
    }

    static __device__ inline void dots(real (&product)[ROWS][COLUMNS], const rows &a, const rows &b)
    {
        for (int i = 0; i < ROWS; i++)
            for (int j = 0; j < COLUMNS; j++)
                product[i][j] = 0;
#pragma unroll
        for (int k = 0; k < HEAD; k += 16) {
            uint32_t left[4];
            take(left, a.at, k);
#pragma unroll
            for (int j = 0; j < COLUMNS; j += 2) {
                const uint16_t *from = &b.at[j / 2 * 8 + lane() / 4][k + lane() % 4 * 2];
                const uint32_t right[2] = {pair_at(from), pair_at(from + 8)};
                add(product, j, left, right);
            }
        }
    }

    static __device__ inline void weigh(real (&sum)[ROWS][CHANNELS], const square &weights,
                                        const rows &b)
    {
#pragma unroll
        for (int k = 0; k < TILE; k += 16) {
            const unsigned first = k + lane() % 4 * 2;
            uint32_t left[4];
            take(left, weights.at, k);
#pragma unroll
            for (int c = 0; c < CHANNELS; c += 2) {
                const unsigned column = c / 2 * 8 + lane() / 4;
                const uint32_t right[2] = {
                    pair_of(b.at[first][column], b.at[first + 1][column]),
                    pair_of(b.at[first + 8][column], b.at[first + 9][column])};
                add(sum, c, left, right);
            }
        }
    }
};
} // namespace attention

#endif
