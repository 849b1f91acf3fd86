/* SPDX-License-Identifier: Apache-2.0 */
/* Softmax and cross-entropy over a chunk of logits: a block takes a row, which is read twice and
 * written once. Between the two readings the ranks that share the vocabulary tell each other what
 * they have seen. */
#include "kernel.cuh"

enum { THREADS = 512, WARPS = THREADS / WARP };

namespace
{
/* The highest of some logits, and the sum of exponentials less that. */
struct peak {
    real top, sum;
};
struct shared {
    peak warps[WARPS];
};
} // namespace

static __device__ inline peak join(peak a, peak b)
{
    real top = a.top > b.top ? a.top : b.top;
    return {top, a.sum * exp(a.top - top) + b.sum * exp(b.top - top)};
}

static __device__ inline peak join_warp(peak mine)
{
    for (int apart = WARP / 2; apart > 0; apart /= 2) {
        peak other = {__shfl_xor_sync(~0u, mine.top, apart), __shfl_xor_sync(~0u, mine.sum, apart)};
        mine = join(mine, other);
    }
    return mine;
}

/* Place of the row's target among these logits; -1: not among them. */
static __device__ inline long target_of(const dt_loss_chunk &c, size_t row)
{
    size_t place = (size_t)c.targets[row] - c.vocab.first;
    return place < c.vocab.count ? (long)place : -1;
}

/* seen: of this rank's rows. Logits stay as they are. */
static __global__ void look(dt_seen *seen, dt_loss_chunk chunk)
{
    DT_SHARED(shared, s);
    const real *row = chunk.logits + blockIdx.x * chunk.stride;
    peak mine = {(real)-1e30, 0}; /* below every logit, and no infinity to subtract */
    for (size_t j = threadIdx.x; j < chunk.vocab.count; j += THREADS) {
        real logit = row[j];
        if (logit > mine.top)
            mine = {logit, mine.sum * exp(mine.top - logit) + 1};
        else
            mine.sum += exp(logit - mine.top);
    }
    mine = join_warp(mine);
    if (threadIdx.x % WARP == 0)
        s.warps[threadIdx.x / WARP] = mine;
    __syncthreads();
    if (threadIdx.x > 0)
        return;
    for (int warp = 1; warp < WARPS; warp++)
        mine = join(mine, s.warps[warp]);
    long target = target_of(chunk, blockIdx.x);
    seen[blockIdx.x] = {mine.top, mine.sum, target < 0 ? 0 : row[target]};
}

/* What all ranks have seen of a row, in the order of the ranks. */
static __device__ inline dt_seen join_ranks(const dt_seen *seen, size_t row, size_t rows, int ranks)
{
    dt_seen all = seen[row];
    for (int r = 1; r < ranks; r++) {
        const dt_seen one = seen[(size_t)r * rows + row];
        const peak both = join({all.top, all.sum}, {one.top, one.sum});
        all = {both.top, both.sum, all.right + one.right};
    }
    return all;
}

static __global__ void lower(dt_loss_chunk chunk)
{
    const dt_seen all = join_ranks(chunk.seen, blockIdx.x, chunk.count, chunk.ranks);
    if (threadIdx.x == 0) /* -log p(target) */
        chunk.losses[blockIdx.x] = log((double)all.sum) - (double)(all.right - all.top);
    if (!chunk.gradient)
        return;
    real *row = chunk.logits + blockIdx.x * chunk.stride;
    long target = target_of(chunk, blockIdx.x);
    real factor = chunk.scale / all.sum;
    for (size_t j = threadIdx.x; j < chunk.vocab.count; j += THREADS)
        row[j] = exp(row[j] - all.top) * factor - ((long)j == target ? chunk.scale : 0);
}

void dt_cuda_loss_raise(const struct dt_loss_chunk *c)
{
    DT_LAUNCH(look, (unsigned)c->count, THREADS, sizeof(shared),
              c->seen + (size_t)c->rank * c->count, *c);
}

void dt_cuda_loss_lower(const struct dt_loss_chunk *c)
{
    DT_LAUNCH(lower, (unsigned)c->count, THREADS, 0, *c);
}

void dt_cuda_loss_alone(const struct dt_loss_chunk *c)
{
    dt_cuda_loss_raise(c);
    dt_cuda_loss_lower(c);
}
