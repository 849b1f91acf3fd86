/* SPDX-License-Identifier: Apache-2.0 */
/* What attention's kernels share: tiles of rows in shared memory, and the two products of them.
 *
 * A block of TILE / 4 x 16 threads works on a tile of TILE rows (queries, or keys in the gradient of
 * keys). Thread (x, y) has rows 4 y to 4 y + 3 of it: of the TILE x TILE scores every 16th column
 * from x, of rows of a head every 16th group of channels. So what a row needs is summed over 16
 * neighbours in a warp, and what a thread adds up stays in its registers. */
#ifndef DT_TRAIN_ATTENTION_CUH
#define DT_TRAIN_ATTENTION_CUH

#include <math.h>

#include "kernel.cuh"

namespace attention
{
enum { ROWS = 4 /* of a thread */, SIDE = 16 /* threads that share rows */ };

/* What a kernel must know, by value. */
struct part {
    struct dt_attention_input in;
    struct dt_attention_shape shape;
    size_t first_query, queries, keys; /* keys: that any of the queries sees */
    bool causal;
    real scale;
};

/* A tile's rows, each `HEAD` reals, of which `head` are there; the 4 that come after a row let 16
 * rows be read at once from different banks. */
template <int TILE, int HEAD> struct rows {
    real at[TILE][HEAD + 4];
};
template <int TILE> struct square {
    real at[TILE][TILE + 4];
};

static __device__ inline unsigned side()
{
    return threadIdx.x % SIDE;
}

static __device__ inline unsigned first_row()
{
    return threadIdx.x / SIDE * ROWS;
}

/* What is not there, rows or channels, becomes 0. */
template <int TILE, int HEAD>
static __device__ inline void load(rows<TILE, HEAD> &to, const real *from, size_t stride,
                                   size_t count, size_t head)
{
    enum { THREADS = TILE / ROWS * SIDE };
    for (unsigned i = threadIdx.x; i < TILE * HEAD; i += THREADS) {
        unsigned row = i / HEAD, c = i % HEAD;
        to.at[row][c] = row < count && c < head ? from[row * stride + c] : 0;
    }
}

/* One access to shared memory. */
template <int COUNT> struct alignas(COUNT * sizeof(real)) group {
    real at[COUNT];
};

static __device__ inline group<4> four_at(const real *at)
{
    return *reinterpret_cast<const group<4> *>(at);
}

/* product[i][j] = row (4 y + i) of a . row (x + 16 j) of b */
template <int TILE, int HEAD>
static __device__ inline void dots(real (&product)[ROWS][TILE / SIDE], const rows<TILE, HEAD> &a,
                                   const rows<TILE, HEAD> &b)
{
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < TILE / SIDE; j++)
            product[i][j] = 0;
#pragma unroll 4
    for (int c = 0; c < HEAD; c += 4) {
        group<4> left[ROWS];
#pragma unroll
        for (int i = 0; i < ROWS; i++)
            left[i] = four_at(&a.at[first_row() + i][c]);
#pragma unroll
        for (int j = 0; j < TILE / SIDE; j++) {
            const group<4> right = four_at(&b.at[side() + SIDE * j][c]);
#pragma unroll
            for (int i = 0; i < ROWS; i++)
#pragma unroll
                for (int k = 0; k < 4; k++)
                    product[i][j] += left[i].at[k] * right.at[k];
        }
    }
}

/* The thread's own values of the square. */
template <int TILE>
static __device__ inline void put(square<TILE> &to, const real (&values)[ROWS][TILE / SIDE])
{
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < TILE / SIDE; j++)
            to.at[first_row() + i][side() + SIDE * j] = values[i][j];
}

/* Channels of a thread lie in groups of GROUP, every 16th group. */
template <int HEAD> struct share {
    enum { GROUP = HEAD < 4 * SIDE ? HEAD / SIDE : 4, COUNT = HEAD / SIDE };
    static __device__ inline unsigned channel(int i)
    {
        return (i / GROUP * SIDE + side()) * GROUP + i % GROUP;
    }
    static __device__ inline void take(real (&values)[COUNT], const real *row)
    {
#pragma unroll
        for (int i = 0; i < COUNT; i += GROUP) {
            const group<GROUP> some = *reinterpret_cast<const group<GROUP> *>(row + channel(i));
#pragma unroll
            for (int k = 0; k < GROUP; k++)
                values[i + k] = some.at[k];
        }
    }
};

/* sum[i][..] += sum over k of weights[4 y + i][k] * row k of b, the thread's channels of it */
template <int TILE, int HEAD>
static __device__ inline void weigh(real (&sum)[ROWS][HEAD / SIDE], const square<TILE> &weights,
                                    const rows<TILE, HEAD> &b)
{
#pragma unroll 2
    for (int k = 0; k < TILE; k += 4) {
        group<4> left[ROWS];
#pragma unroll
        for (int i = 0; i < ROWS; i++)
            left[i] = four_at(&weights.at[first_row() + i][k]);
#pragma unroll
        for (int n = 0; n < 4; n++) {
            real right[HEAD / SIDE];
            share<HEAD>::take(right, b.at[k + n]);
#pragma unroll
            for (int i = 0; i < ROWS; i++)
#pragma unroll
                for (int c = 0; c < HEAD / SIDE; c++)
                    sum[i][c] += left[i].at[n] * right[c];
        }
    }
}

/* Over the 16 threads that share rows; all get the same bits. */
static __device__ inline real side_sum(real value)
{
    for (int apart = SIDE / 2; apart > 0; apart /= 2)
        value += __shfl_xor_sync(~0u, value, apart);
    return value;
}

static __device__ inline real side_max(real value)
{
    for (int apart = SIDE / 2; apart > 0; apart /= 2) {
        real other = __shfl_xor_sync(~0u, value, apart);
        value = other > value ? other : value;
    }
    return value;
}

/* How many keys a query sees; 0 where the span has no such query. */
static __device__ inline size_t keys_of(const part &p, size_t query)
{
    if (query >= p.first_query + p.queries)
        return 0;
    return p.causal && query + 1 < p.keys ? query + 1 : p.keys;
}

static inline part part_of(const struct dt_attention_input *in,
                           const struct dt_attention_shape *shape,
                           const struct dt_attention_span *span)
{
    size_t reach = span->first_query + span->queries;
    part p = {*in, *shape, span->first_query, span->queries, span->keys, span->causal, 0};
    p.scale = (real)(1 / sqrt((double)shape->head));
    if (span->causal)
        p.keys = reach;
    return p;
}

/* The queries, keys and values of whole sequences. */
static inline struct dt_attention_input input_of(const real *qkv,
                                                 const struct dt_attention_shape *s)
{
    size_t row = (s->heads + 2 * s->kv_heads) * s->head;
    const real *k = qkv + s->heads * s->head;
    return {qkv, k, k + s->kv_heads * s->head, row, row};
}

static inline struct dt_attention_span whole(const struct dt_attention_shape *s)
{
    struct dt_attention_span all = {};
    all.queries = all.keys = s->time;
    all.causal = true;
    return all;
}

/* A kernel may use more shared memory than the 48 KB that every GPU gives unasked. */
template <typename Kernel> static inline void allow_shared(Kernel *kernel, size_t bytes)
{
    dt_cuda_note(cudaFuncSetAttribute((const void *)kernel,
                                      cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes),
                 "shared memory of attention");
}
} // namespace attention

#endif
