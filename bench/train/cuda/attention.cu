/* SPDX-License-Identifier: Apache-2.0 */
/* Attention, forward: a block takes a tile of queries and walks over the keys that they see, tile by
 * tile, with a softmax that is corrected when a higher score comes. Scores exist in registers and
 * shared memory only. Backward is in attention_backward.cu, what both share in attention.cuh. */
#include "attention.cuh"

namespace attention
{
template <int TILE, int HEAD> struct forward_tiles {
    rows<TILE, HEAD> q, kv; /* kv: keys, then values */
    square<TILE> p;
};

/* Of a thread's rows: highest score, sum of exponentials less that, and of the values weighed by
 * them. */
template <int HEAD> struct state {
    real top[ROWS], sum[ROWS], values[ROWS][HEAD / SIDE];
};

/* What is there of other keys is a sum of one exponential, that of its own log_sum. */
template <int HEAD>
static __device__ inline void start(state<HEAD> &s, const real *out, const real *log_sum,
                                    size_t channels, size_t count, size_t head, bool add)
{
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        size_t row = first_row() + i;
        bool there = add && row < count;
        s.top[i] = there ? log_sum[row] : (real)-1e30; /* below all, and no infinity to subtract */
        s.sum[i] = there ? 1 : 0;
#pragma unroll
        for (int j = 0; j < HEAD / SIDE; j++) {
            unsigned c = share<HEAD>::channel(j);
            s.values[i][j] = there && c < head ? out[row * channels + c] : 0;
        }
    }
}

/* Scores become exponentials; what was summed before is corrected to the new top. query, key: of the
 * thread's first score. */
template <int TILE, int HEAD>
static __device__ inline void soften(state<HEAD> &s, real (&score)[ROWS][TILE / SIDE],
                                     const part &p, size_t query, size_t key)
{
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        const long seen = (long)keys_of(p, query + i) - (long)key;
        real top = s.top[i], sum = 0;
#pragma unroll
        for (int j = 0; j < TILE / SIDE; j++) {
            score[i][j] = SIDE * j < seen ? score[i][j] * p.scale : (real)-1e30;
            top = score[i][j] > top ? score[i][j] : top;
        }
        top = side_max(top);
#pragma unroll
        for (int j = 0; j < TILE / SIDE; j++) {
            score[i][j] = SIDE * j < seen ? exp(score[i][j] - top) : 0;
            sum += score[i][j];
        }
        const real keep = exp(s.top[i] - top);
        s.sum[i] = s.sum[i] * keep + side_sum(sum);
        s.top[i] = top;
#pragma unroll
        for (int c = 0; c < HEAD / SIDE; c++)
            s.values[i][c] *= keep;
    }
}

template <int HEAD>
static __device__ inline void finish(real *out, real *log_sum, const state<HEAD> &s,
                                     size_t channels, size_t count, size_t head)
{
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        size_t row = first_row() + i;
        if (row >= count)
            break;
#pragma unroll
        for (int j = 0; j < HEAD / SIDE; j++) {
            unsigned c = share<HEAD>::channel(j);
            if (c < head)
                out[row * channels + c] = s.values[i][j] / s.sum[i];
        }
        if (side() == 0)
            log_sum[row] = s.top[i] + log(s.sum[i]);
    }
}

/* blockIdx: tile of queries, head, sequence. */
template <int TILE, int HEAD>
static __global__ void __launch_bounds__(TILE / ROWS * SIDE, HEAD <= 64 ? 2 : 1)
    forward(real *out, real *log_sum, const part p, bool add)
{
    typedef forward_tiles<TILE, HEAD> tiles;
    DT_SHARED(tiles, s);
    const struct dt_attention_shape &shape = p.shape;
    const size_t head = shape.head, channels = shape.heads * head, stride = p.in.kv_row;
    const size_t first = p.first_query + (size_t)blockIdx.x * TILE;
    const size_t count = p.first_query + p.queries - first;
    const size_t sequence = blockIdx.z * shape.time; /* its first row */
    const size_t kv = sequence * stride + blockIdx.y / (shape.heads / shape.kv_heads) * head;
    const size_t last = first + (count < TILE ? count : TILE) - 1, keys = keys_of(p, last);
    out += (sequence + first) * channels + blockIdx.y * head;
    log_sum += (blockIdx.z * shape.heads + blockIdx.y) * shape.time + first;

    state<HEAD> state;
    start(state, out, log_sum, channels, count, head, add);
    load(s.q, p.in.q + (sequence + first) * p.in.q_row + blockIdx.y * head, p.in.q_row, count,
         head);
    for (size_t key = 0; key < keys; key += TILE) {
        real score[ROWS][TILE / SIDE];
        load(s.kv, p.in.k + kv + key * stride, stride, keys - key, head);
        __syncthreads();
        dots(score, s.q, s.kv);
        soften<TILE>(state, score, p, first + first_row(), key + side());
        put(s.p, score);
        __syncthreads(); /* keys are read, p is written */
        load(s.kv, p.in.v + kv + key * stride, stride, keys - key, head);
        __syncthreads();
        weigh(state.values, s.p, s.kv);
        __syncthreads(); /* values and p are read */
    }
    finish(out, log_sum, state, channels, count, head);
}

template <int TILE, int HEAD>
static void launch_forward(real *out, real *log_sum, const part &p, bool add)
{
    const size_t bytes = sizeof(forward_tiles<TILE, HEAD>);
    allow_shared(forward<TILE, HEAD>, bytes);
    DT_LAUNCH((forward<TILE, HEAD>),
              dim3(blocks_for(p.queries, TILE), (unsigned)p.shape.heads, (unsigned)p.shape.batch),
              TILE / ROWS * SIDE, bytes, out, log_sum, p, add);
}
} // namespace attention

void dt_cuda_attention_span_forward(const struct dt_blas *, real *out, real *log_sum,
                                    const struct dt_attention_input *in, real *,
                                    const struct dt_attention_shape *shape,
                                    const struct dt_attention_span *span)
{
    const attention::part p = attention::part_of(in, shape, span);
    if (shape->head <= 32)
        attention::launch_forward<64, 32>(out, log_sum, p, span->add);
    else if (shape->head <= 64)
        attention::launch_forward<64, 64>(out, log_sum, p, span->add);
    else if (shape->head <= 128)
        attention::launch_forward<64, 128>(out, log_sum, p, span->add);
    else
        attention::launch_forward<32, 256>(out, log_sum, p, span->add);
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
