/* SPDX-License-Identifier: Apache-2.0 */
/* Attention, forward: a block takes a tile of queries and walks over the keys that they see, tile by
 * tile, with a softmax that is corrected when a higher score comes. Scores exist in registers and
 * shared memory only. Backward is in attention_backward.cu, what both share in attention.cuh. */
#include "attention_bf16.cuh"
#include "attention_fp32.cuh"

namespace attention
{
template <typename T> struct forward_tiles {
    typename T::rows q, kv; /* kv: keys, then values */
    typename T::square p;
};

/* Of a thread's rows: highest score, sum of exponentials less that, and of the values weighed by
 * them. */
template <typename T> struct state {
    real top[T::ROWS], sum[T::ROWS], values[T::ROWS][T::CHANNELS];
};

/* What is there of other keys is a sum of one exponential, that of its own log_sum. */
template <typename T>
static __device__ inline void start(state<T> &s, const real *out, const real *log_sum,
                                    size_t channels, size_t count, size_t head, bool add)
{
#pragma unroll
    for (int i = 0; i < T::ROWS; i++) {
        size_t row = T::row(i);
        bool there = add && row < count;
        s.top[i] = there ? log_sum[row] : (real)-1e30; /* below all, and no infinity to subtract */
        s.sum[i] = there ? 1 : 0;
#pragma unroll
        for (int j = 0; j < T::CHANNELS; j++) {
            const unsigned c = T::channel(j);
            s.values[i][j] = there && c < head ? out[row * channels + c] : 0;
        }
    }
}

/* Scores become exponentials; what was summed before is corrected to the new top. query, key: the
 * tile's first. */
template <typename T>
static __device__ inline void soften(state<T> &s, real (&score)[T::ROWS][T::COLUMNS], const part &p,
                                     size_t query, size_t key)
{
#pragma unroll
    for (int i = 0; i < T::ROWS; i++) {
        const long seen = (long)keys_of(p, query + T::row(i)) - (long)key;
        real top = s.top[i], sum = 0;
#pragma unroll
        for (int j = 0; j < T::COLUMNS; j++) {
            score[i][j] = T::column(j) < seen ? score[i][j] * p.scale : (real)-1e30;
            top = score[i][j] > top ? score[i][j] : top;
        }
        top = side_max<T::SIDE>(top);
#pragma unroll
        for (int j = 0; j < T::COLUMNS; j++) {
            score[i][j] = T::column(j) < seen ? exp(score[i][j] - top) : 0;
            sum += score[i][j];
        }
        const real keep = exp(s.top[i] - top);
        s.sum[i] = s.sum[i] * keep + side_sum<T::SIDE>(sum);
        s.top[i] = top;
#pragma unroll
        for (int c = 0; c < T::CHANNELS; c++)
            s.values[i][c] *= keep;
    }
}

template <typename T>
static __device__ inline void finish(real *out, real *log_sum, state<T> &s, size_t channels,
                                     size_t count, size_t head)
{
#pragma unroll
    for (int i = 0; i < T::ROWS; i++) {
#pragma unroll
        for (int j = 0; j < T::CHANNELS; j++)
            s.values[i][j] /= s.sum[i];
        if (T::channel(0) == 0 && T::row(i) < count)
            log_sum[T::row(i)] = s.top[i] + log(s.sum[i]);
    }
    store<T>(out, s.values, channels, count, head, false);
}

/* blockIdx: tile of queries, head, sequence. */
template <typename T>
static __global__ void __launch_bounds__(T::THREADS, T::HEAD <= 64 ? 2 : 1)
    forward(real *out, real *log_sum, const part p, bool add)
{
    typedef forward_tiles<T> tiles;
    DT_SHARED(tiles, s);
    const struct dt_attention_shape &shape = p.shape;
    const size_t head = shape.head, channels = shape.heads * head, stride = p.in.kv_row;
    const size_t first = p.first_query + (size_t)blockIdx.x * T::TILE;
    const size_t count = p.first_query + p.queries - first;
    const size_t sequence = blockIdx.z * shape.time; /* its first row */
    const size_t kv = sequence * stride + blockIdx.y / (shape.heads / shape.kv_heads) * head;
    const size_t keys = keys_of_tile(p, first, T::TILE);
    out += (sequence + first) * channels + blockIdx.y * head;
    log_sum += (blockIdx.z * shape.heads + blockIdx.y) * shape.time + first;

    state<T> state;
    start<T>(state, out, log_sum, channels, count, head, add);
    T::load(s.q, p.in.q + (sequence + first) * p.in.q_row + blockIdx.y * head, p.in.q_row, count,
            head);
    for (size_t key = 0; key < keys; key += T::TILE) {
        real score[T::ROWS][T::COLUMNS];
        T::load(s.kv, p.in.k + kv + key * stride, stride, keys - key, head);
        __syncthreads();
        T::dots(score, s.q, s.kv);
        soften<T>(state, score, p, first, key);
        T::put(s.p, score);
        __syncthreads(); /* keys are read, p is written */
        T::load(s.kv, p.in.v + kv + key * stride, stride, keys - key, head);
        __syncthreads();
        T::weigh(state.values, s.p, s.kv);
        __syncthreads(); /* values and p are read */
    }
    finish<T>(out, log_sum, state, channels, count, head);
}

template <typename T> static void launch_forward(real *out, real *log_sum, const part &p, bool add)
{
    const size_t bytes = sizeof(forward_tiles<T>);
    allow_shared(forward<T>, bytes);
    DT_LAUNCH(
        forward<T>,
        dim3(blocks_for(p.queries, T::TILE), (unsigned)p.shape.heads, (unsigned)p.shape.batch),
        T::THREADS, bytes, out, log_sum, p, add);
}

static void launch_fp32(real *out, real *log_sum, const part &p, bool add)
{
    if (p.shape.head <= 32)
        launch_forward<fp32<64, 32>>(out, log_sum, p, add);
    else if (p.shape.head <= 64)
        launch_forward<fp32<64, 64>>(out, log_sum, p, add);
    else if (p.shape.head <= 128)
        launch_forward<fp32<64, 128>>(out, log_sum, p, add);
    else
        launch_forward<fp32<32, 256>>(out, log_sum, p, add);
}

static void launch_bf16(real *out, real *log_sum, const part &p, bool add)
{
    if (p.shape.head <= 64)
        launch_forward<bf16<64, 64>>(out, log_sum, p, add);
    else
        launch_forward<bf16<64, 128>>(out, log_sum, p, add);
}
} // namespace attention

void dt_cuda_attention_span_forward(const struct dt_blas *, real *out, real *log_sum,
                                    const struct dt_attention_input *in, real *,
                                    const struct dt_attention_shape *shape,
                                    const struct dt_attention_span *span)
{
    using namespace attention;
    const part p = part_of(in, shape, span);
    if (dt_cuda_bf16() && shape->head <= 128)
        launch_bf16(out, log_sum, p, span->add);
    else
        launch_fp32(out, log_sum, p, span->add);
    if (span->between)
        span->between(span->context);
}

void dt_cuda_attention_forward(const struct dt_blas *blas, real *out, real *log_sum,
                               const real *qkv, real *work, const struct dt_attention_shape *shape)
{
    const struct dt_attention_input in = attention::input_of(qkv, shape);
    const struct dt_attention_span all = attention::whole(shape);
    dt_cuda_attention_span_forward(blas, out, log_sum, &in, work, shape, &all);
}
