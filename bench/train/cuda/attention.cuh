/* SPDX-License-Identifier: Apache-2.0 */
/* What attention's kernels share: which rows, and who sees what.
 *
 * The kernels (attention.cu, attention_backward.cu) are written once, for two kinds of tiles: of fp32
 * (attention_fp32.cuh) and of bf16 for tensor cores (attention_bf16.cuh). A kind `T` has
 *
 *   T::rows, T::square         TILE rows of a head, and TILE x TILE scores, in shared memory
 *   T::row(i), T::column(j)    which score of a square is the thread's [i][j], i < ROWS, j < COLUMNS
 *   T::channel(c)              which channel of a row, c < CHANNELS
 *   T::load(rows, from, ...)   from global memory; what is not there becomes 0
 *   T::put(square, values)     the thread's own values of it
 *   T::dots(values, a, b)      values[i][j] = row(i) of a . row column(j) of b
 *   T::weigh(sum, s, b)        sum[i][c] += sum over k of s[row(i)][k] * b[k][channel(c)]
 *
 * A row is shared by SIDE neighbours in a warp. */
#ifndef DT_TRAIN_ATTENTION_CUH
#define DT_TRAIN_ATTENTION_CUH

#include <math.h>

#include "kernel.cuh"

namespace attention
{
/* What a kernel must know, by value. */
struct part {
    struct dt_attention_input in;
    struct dt_attention_shape shape;
    size_t first_query, queries, keys; /* keys: that any of the queries sees */
    bool causal;
    real scale;
};

/* Over the threads that share rows; all get the same bits. */
template <int SIDE> static __device__ inline real side_sum(real value)
{
    for (int apart = SIDE / 2; apart > 0; apart /= 2)
        value += __shfl_xor_sync(~0u, value, apart);
    return value;
}

template <int SIDE> static __device__ inline real side_max(real value)
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

/* How many any of the `tile` queries from `first` sees. */
static __device__ inline size_t keys_of_tile(const part &p, size_t first, size_t tile)
{
    size_t end = p.first_query + p.queries;
    return keys_of(p, (first + tile < end ? first + tile : end) - 1);
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

/* The thread's channels of its rows; with `add`, added. */
template <typename T>
static __device__ inline void store(real *to, const real (&values)[T::ROWS][T::CHANNELS],
                                    size_t stride, size_t count, size_t head, bool add)
{
#pragma unroll
    for (int i = 0; i < T::ROWS; i++) {
        size_t row = T::row(i);
        if (row >= count)
            break;
#pragma unroll
        for (int j = 0; j < T::CHANNELS; j++) {
            const unsigned c = T::channel(j);
            if (c < head)
                to[row * stride + c] = values[i][j] + (add ? to[row * stride + c] : 0);
        }
    }
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
