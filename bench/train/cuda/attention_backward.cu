/* SPDX-License-Identifier: Apache-2.0 */
/* Attention, backward: probabilities are made again from the kept log_sum, once by tiles of queries
 * for their gradient, and once by tiles of keys for that of keys and values. That is two products
 * more than in one pass, and no sum that two blocks share. */
#include "attention_bf16.cuh"
#include "attention_fp32.cuh"

namespace attention
{
template <typename T> struct backward_tiles {
    typename T::rows q, d_out, k, v;
    typename T::square weights;
};

struct gradients {
    struct dt_attention_gradient d;
    const real *d_out, *log_sum;
    const real *pull; /* of each query, where log_sum has its own: out . d_out */
};

enum { PULL_WARPS = 8 };

/* A warp takes one query of a head: blockIdx is some queries, head, sequence. */
static __global__ void find_pull(real *pull, const real *out, const real *d_out, const part p)
{
    const size_t i = (size_t)blockIdx.x * PULL_WARPS + threadIdx.x / WARP;
    if (i >= p.queries)
        return;
    const struct dt_attention_shape &shape = p.shape;
    const size_t row = blockIdx.z * shape.time + p.first_query + i;
    const size_t at = (row * shape.heads + blockIdx.y) * shape.head;
    real sum = 0;
    for (size_t c = threadIdx.x % WARP; c < shape.head; c += WARP)
        sum += out[at + c] * d_out[at + c];
    sum = sum_of_warp(sum);
    if (threadIdx.x % WARP == 0)
        pull[(blockIdx.z * shape.heads + blockIdx.y) * shape.time + p.first_query + i] = sum;
}

/* blockIdx: tile of queries, head, sequence. */
template <typename T>
static __global__ void __launch_bounds__(T::THREADS, 1)
    backward_queries(const gradients g, const part p, bool add)
{
    typedef backward_tiles<T> tiles;
    DT_SHARED(tiles, s);
    const struct dt_attention_shape &shape = p.shape;
    const size_t head = shape.head, channels = shape.heads * head, stride = p.in.kv_row;
    const size_t first = p.first_query + (size_t)blockIdx.x * T::TILE;
    const size_t count = p.first_query + p.queries - first;
    const size_t sequence = blockIdx.z * shape.time; /* its first row */
    const size_t q = (sequence + first) * p.in.q_row + blockIdx.y * head;
    const size_t kv = sequence * stride + blockIdx.y / (shape.heads / shape.kv_heads) * head;
    const size_t told = (blockIdx.z * shape.heads + blockIdx.y) * shape.time + first;
    const size_t keys = keys_of_tile(p, first, T::TILE);

    real d_q[T::ROWS][T::CHANNELS] = {}, log_sum[T::ROWS], pull[T::ROWS];
#pragma unroll
    for (int i = 0; i < T::ROWS; i++) {
        bool there = T::row(i) < count;
        log_sum[i] = there ? g.log_sum[told + T::row(i)] : 0;
        pull[i] = there ? g.pull[told + T::row(i)] : 0;
    }
    T::load(s.q, p.in.q + q, p.in.q_row, count, head);
    T::load(s.d_out, g.d_out + (sequence + first) * channels + blockIdx.y * head, channels, count,
            head);
    for (size_t key = 0; key < keys; key += T::TILE) {
        real score[T::ROWS][T::COLUMNS], d_p[T::ROWS][T::COLUMNS];
        T::load(s.k, p.in.k + kv + key * stride, stride, keys - key, head);
        T::load(s.v, p.in.v + kv + key * stride, stride, keys - key, head);
        __syncthreads();
        T::dots(score, s.q, s.k);
        T::dots(d_p, s.d_out, s.v);
#pragma unroll
        for (int i = 0; i < T::ROWS; i++) {
            const long seen = (long)keys_of(p, first + T::row(i)) - (long)key;
#pragma unroll
            for (int j = 0; j < T::COLUMNS; j++)
                d_p[i][j] = T::column(j) < seen ? exp(score[i][j] * p.scale - log_sum[i]) *
                                                      (d_p[i][j] - pull[i]) * p.scale
                                                : 0;
        }
        T::put(s.weights, d_p);
        __syncthreads();
        T::weigh(d_q, s.weights, s.k);
        __syncthreads(); /* all is read */
    }
    store<T>(g.d.d_q + q, d_q, p.in.q_row, count, head, add);
}

/* Transposed: scores become probabilities, and d_p the gradient of the scores. query, key: the tile's
 * first; told: where log_sum and pull have the tile's first query. */
template <typename T>
static __device__ inline void probabilities(real (&score)[T::ROWS][T::COLUMNS],
                                            real (&d_p)[T::ROWS][T::COLUMNS], const gradients &g,
                                            const part &p, size_t told, size_t query, size_t key)
{
#pragma unroll
    for (int j = 0; j < T::COLUMNS; j++) {
        const long seen = (long)keys_of(p, query + T::column(j)) - (long)key;
        const size_t at = told + T::column(j);
        const real log_sum = seen > 0 ? g.log_sum[at] : 0, pull = seen > 0 ? g.pull[at] : 0;
#pragma unroll
        for (int i = 0; i < T::ROWS; i++) {
            score[i][j] = T::row(i) < seen ? exp(score[i][j] * p.scale - log_sum) : 0;
            d_p[i][j] = score[i][j] * (d_p[i][j] - pull) * p.scale;
        }
    }
}

/* blockIdx: tile of keys, head of keys, sequence. */
template <typename T>
static __global__ void __launch_bounds__(T::THREADS, 1)
    backward_keys(const gradients g, const part p)
{
    typedef backward_tiles<T> tiles;
    DT_SHARED(tiles, s);
    const struct dt_attention_shape &shape = p.shape;
    const size_t head = shape.head, channels = shape.heads * head, stride = p.in.kv_row;
    const size_t key = (size_t)blockIdx.x * T::TILE, count = p.keys - key;
    const size_t sequence = blockIdx.z * shape.time; /* its first row */
    const size_t kv = (sequence + key) * stride + blockIdx.y * head;
    const size_t group = shape.heads / shape.kv_heads, end = p.first_query + p.queries;
    size_t first = p.first_query;
    if (p.causal && key > first) /* the tile with the first query that sees any of the keys */
        first += (key - first) / T::TILE * T::TILE;

    real d_k[T::ROWS][T::CHANNELS] = {}, d_v[T::ROWS][T::CHANNELS] = {};
    T::load(s.k, p.in.k + kv, stride, count, head);
    T::load(s.v, p.in.v + kv, stride, count, head);
    for (size_t h = blockIdx.y * group; h < (blockIdx.y + 1) * group; h++) {
        for (size_t query = first; query < end; query += T::TILE) {
            const size_t row = sequence + query;
            const size_t told = (blockIdx.z * shape.heads + h) * shape.time + query;
            real score[T::ROWS][T::COLUMNS], d_p[T::ROWS][T::COLUMNS];
            T::load(s.q, p.in.q + row * p.in.q_row + h * head, p.in.q_row, end - query, head);
            T::load(s.d_out, g.d_out + row * channels + h * head, channels, end - query, head);
            __syncthreads();
            T::dots(score, s.k, s.q);
            T::dots(d_p, s.v, s.d_out);
            probabilities<T>(score, d_p, g, p, told, query, key);
            T::put(s.weights, score);
            __syncthreads();
            T::weigh(d_v, s.weights, s.d_out);
            __syncthreads(); /* weights are read */
            T::put(s.weights, d_p);
            __syncthreads();
            T::weigh(d_k, s.weights, s.q);
            __syncthreads(); /* all is read */
        }
    }
    store<T>(g.d.d_k + kv, d_k, stride, count, head, false);
    store<T>(g.d.d_v + kv, d_v, stride, count, head, false);
}

template <typename T> static void launch_backward(const gradients &g, const part &p, bool add)
{
    const size_t bytes = sizeof(backward_tiles<T>);
    const unsigned batch = (unsigned)p.shape.batch;
    allow_shared(backward_queries<T>, bytes);
    DT_LAUNCH(backward_queries<T>,
              dim3(blocks_for(p.queries, T::TILE), (unsigned)p.shape.heads, batch), T::THREADS,
              bytes, g, p, add);
    allow_shared(backward_keys<T>, bytes);
    DT_LAUNCH(backward_keys<T>,
              dim3(blocks_for(p.keys, T::TILE), (unsigned)p.shape.kv_heads, batch), T::THREADS,
              bytes, g, p);
}

static void launch_fp32(const gradients &g, const part &p, bool add)
{
    if (p.shape.head <= 32)
        launch_backward<fp32<64, 32>>(g, p, add);
    else if (p.shape.head <= 64)
        launch_backward<fp32<64, 64>>(g, p, add);
    else if (p.shape.head <= 128)
        launch_backward<fp32<32, 128>>(g, p, add);
    else
        launch_backward<fp32<16, 256>>(g, p, add);
}

static void launch_bf16(const gradients &g, const part &p, bool add)
{
    if (p.shape.head <= 64)
        launch_backward<bf16<64, 64>>(g, p, add);
    else
        launch_backward<bf16<32, 128>>(g, p, add);
}
} // namespace attention

void dt_cuda_attention_span_backward(const struct dt_blas *, const struct dt_attention_gradient *d,
                                     const real *d_out, const real *out, const real *log_sum,
                                     const struct dt_attention_input *in, real *,
                                     const struct dt_attention_shape *shape,
                                     const struct dt_attention_span *span)
{
    using namespace attention;
    const part p = part_of(in, shape, span);
    real *pull = (real *)dt_cuda_scratch(shape->batch * shape->heads * shape->time * sizeof *pull);
    if (!pull)
        return;
    DT_LAUNCH(
        find_pull,
        dim3(blocks_for(span->queries, PULL_WARPS), (unsigned)shape->heads, (unsigned)shape->batch),
        PULL_WARPS * WARP, 0, pull, out, d_out, p);
    const gradients g = {*d, d_out, log_sum, pull};
    if (dt_cuda_bf16() && shape->head <= 128)
        launch_bf16(g, p, span->add);
    else
        launch_fp32(g, p, span->add);
    if (span->between)
        span->between(span->context);
}

void dt_cuda_attention_backward(const struct dt_blas *blas, real *d_qkv, const real *d_out,
                                const real *out, const real *log_sum, const real *qkv, real *work,
                                const struct dt_attention_shape *shape)
{
    const struct dt_attention_input in = attention::input_of(qkv, shape);
    const struct dt_attention_gradient d = {d_qkv, d_qkv + (in.k - qkv), d_qkv + (in.v - qkv)};
    const struct dt_attention_span all = attention::whole(shape);
    dt_cuda_attention_span_backward(blas, &d, d_out, out, log_sum, &in, work, shape, &all);
}
