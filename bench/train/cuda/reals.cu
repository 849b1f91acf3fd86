/* SPDX-License-Identifier: Apache-2.0 */
/* Arrays as they are: zero, copy, add, and the sum of squares for the norm of the gradient. */
#include "kernel.cuh"

enum { THREADS = 256 };
const unsigned PIECES = 1024; /* that squares are summed in, at most */

void dt_cuda_zero(real *values, size_t count)
{
    dt_cuda_note(cudaMemsetAsync(values, 0, count * sizeof *values, dt_cuda_stream()), "zero");
}

void dt_cuda_copy(real *to, const real *from, size_t count)
{
    if (to == from)
        return;
    dt_cuda_note(cudaMemcpyAsync(to, from, count * sizeof *to, cudaMemcpyDefault, dt_cuda_stream()),
                 "copy");
}

/* A block takes a row. */
static __global__ void copy_row(real *to, size_t to_row, const real *from, size_t from_row,
                                size_t columns)
{
    for (size_t c = threadIdx.x; c < columns; c += THREADS)
        to[blockIdx.x * to_row + c] = from[blockIdx.x * from_row + c];
}

void dt_cuda_copy_rows(real *to, size_t to_row, const real *from, size_t from_row, size_t columns,
                       size_t rows)
{
    DT_LAUNCH(copy_row, (unsigned)rows, THREADS, 0, to, to_row, from, from_row, columns);
}

static __global__ void add(real *to, const real *from, size_t count)
{
    size_t i = (size_t)blockIdx.x * THREADS + threadIdx.x;
    if (i < count)
        to[i] += from[i];
}

void dt_cuda_add(real *to, const real *from, size_t count)
{
    DT_LAUNCH(add, blocks_for(count, THREADS), THREADS, 0, to, from, count);
}

/* A block takes a row: the first `keys` of every `time` have their turn. */
static __global__ void add_key(real *sum, const real *values, size_t keys, size_t time, size_t row)
{
    size_t at = (blockIdx.x / keys * time + blockIdx.x % keys) * row;
    for (size_t c = threadIdx.x; c < row; c += THREADS)
        sum[at + c] += values[at + c];
}

void dt_cuda_add_keys(real *sum, const real *values, size_t batch, size_t keys, size_t time,
                      size_t row)
{
    DT_LAUNCH(add_key, (unsigned)(batch * keys), THREADS, 0, sum, values, keys, time, row);
}

namespace
{
struct shared {
    double sums[THREADS];
};
} // namespace

/* The block's sum, in a tree of halves. */
static __device__ double sum_of_block(shared &s, double sum)
{
    s.sums[threadIdx.x] = sum;
    for (unsigned half = THREADS / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half)
            s.sums[threadIdx.x] += s.sums[threadIdx.x + half];
    }
    return s.sums[0]; /* thread 0 has made it */
}

/* A block takes a piece; their number depends on that of the values alone. */
static __global__ void sum_squares(double *sums, const real *values, size_t count)
{
    DT_SHARED(shared, s);
    double sum = 0;
    size_t step = (size_t)gridDim.x * THREADS;
    for (size_t i = (size_t)blockIdx.x * THREADS + threadIdx.x; i < count; i += step)
        sum += (double)values[i] * (double)values[i];
    sum = sum_of_block(s, sum);
    if (threadIdx.x == 0)
        sums[blockIdx.x] = sum;
}

static __global__ void join_sums(double *sum, const double *sums, int count)
{
    DT_SHARED(shared, s);
    double mine = 0;
    for (int i = threadIdx.x; i < count; i += THREADS)
        mine += sums[i];
    mine = sum_of_block(s, mine);
    if (threadIdx.x == 0)
        *sum = mine;
}

void dt_cuda_squares(double *sum, const real *values, size_t count)
{
    double *sums = (double *)dt_cuda_scratch(PIECES * sizeof *sums);
    if (!sums)
        return;
    const size_t piece = 8 * THREADS;
    unsigned pieces = count < PIECES * piece ? blocks_for(count, piece) : PIECES;
    DT_LAUNCH(sum_squares, pieces, THREADS, sizeof(shared), sums, values, count);
    DT_LAUNCH(join_sums, 1, THREADS, sizeof(shared), sum, sums, (int)pieces);
}
