/* SPDX-License-Identifier: Apache-2.0 */
/* Token and position embedding. Backward: the first row of each token adds all rows of that token in
 * their order, so that no two blocks write the same row of the table. */
#include "kernel.cuh"

enum { THREADS = 256 };

static __global__ void forward(real *out, const int *tokens, const real *token_table,
                               const real *position_table, const size_t *places,
                               struct dt_range vocab, size_t time, size_t channels)
{
    size_t row = blockIdx.x, token = (size_t)tokens[row] - vocab.first; /* below it: past all */
    const real *position = position_table ? position_table + places[row % time] * channels : NULL;
    for (size_t c = threadIdx.x; c < channels; c += THREADS) {
        real value = token < vocab.count ? token_table[token * channels + c] : 0;
        out[row * channels + c] = position ? value + position[c] : value;
    }
}

void dt_cuda_embedding_forward(real *out, const int *tokens, const real *token_table,
                               const real *position_table, const size_t *places,
                               struct dt_range vocab, size_t batch, size_t time, size_t channels)
{
    DT_LAUNCH(forward, (unsigned)(batch * time), THREADS, 0, out, tokens, token_table,
              position_table, places, vocab, time, channels);
}

namespace
{
struct shared {
    int tokens[THREADS]; /* a stretch of the rows' */
};
} // namespace

/* Does a row before this one have the token? The same answer for all threads. */
static __device__ bool came_before(const int *tokens, size_t row)
{
    const int token = tokens[row];
    for (size_t begin = 0; begin < row; begin += THREADS) {
        size_t i = begin + threadIdx.x;
        if (__syncthreads_or(i < row && tokens[i] == token))
            return true;
    }
    return false;
}

/* A block: THREADS channels of one row's token, if it is the first of it. */
static __global__ void add_tokens(real *table, const real *d_out, const int *tokens,
                                  struct dt_range vocab, size_t rows, size_t channels)
{
    DT_SHARED(shared, s);
    size_t row = blockIdx.x, c = (size_t)blockIdx.y * THREADS + threadIdx.x;
    const int token = tokens[row];
    if ((size_t)token - vocab.first >= vocab.count || came_before(tokens, row))
        return;
    real *to = table + ((size_t)token - vocab.first) * channels + c;
    real sum = c < channels ? *to : 0;
    for (size_t begin = row; begin < rows; begin += THREADS) {
        size_t left = rows - begin, count = left < THREADS ? left : (size_t)THREADS;
        __syncthreads();
        if (threadIdx.x < count)
            s.tokens[threadIdx.x] = tokens[begin + threadIdx.x];
        __syncthreads();
        for (size_t i = 0; i < count; i++)
            if (s.tokens[i] == token && c < channels)
                sum += d_out[(begin + i) * channels + c];
    }
    if (c < channels)
        *to = sum;
}

/* A block takes a place, which no other row of a sample has. */
static __global__ void add_positions(real *table, const real *d_out, const size_t *places,
                                     size_t batch, size_t time, size_t channels)
{
    real *to = table + places[blockIdx.x] * channels;
    for (size_t c = threadIdx.x; c < channels; c += THREADS) {
        real sum = to[c];
        for (size_t sample = 0; sample < batch; sample++)
            sum += d_out[(sample * time + blockIdx.x) * channels + c];
        to[c] = sum;
    }
}

void dt_cuda_embedding_backward(const struct dt_embedding_gradient *g, const real *d_out,
                                const int *tokens, const size_t *places, size_t batch, size_t time,
                                size_t channels)
{
    size_t rows = batch * time;
    if (!g->add_token)
        dt_cuda_zero(g->token_table, g->vocab.count * channels);
    DT_LAUNCH(add_tokens, dim3((unsigned)rows, blocks_for(channels, THREADS)), THREADS,
              sizeof(shared), g->token_table, d_out, tokens, g->vocab, rows, channels);
    if (!g->position_table)
        return;
    if (!g->add_position)
        dt_cuda_zero(g->position_table, g->seq * channels);
    DT_LAUNCH(add_positions, (unsigned)time, THREADS, 0, g->position_table, d_out, places, batch,
              time, channels);
}
