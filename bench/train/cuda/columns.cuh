/* SPDX-License-Identifier: Apache-2.0 */
/* Sums over all rows of what a function makes of (row, column): gradients of gains and biases. Rows
 * are cut into at most CHUNKS chunks, which are summed side by side and then joined in their order;
 * how they are cut depends on their number alone. */
#ifndef DT_TRAIN_COLUMNS_CUH
#define DT_TRAIN_COLUMNS_CUH

#include "kernel.cuh"

namespace columns
{
const size_t CHUNKS = 128, LEAST = 64 /* rows of a chunk */;
enum { LANES = 8 /* rows summed side by side */ };

struct shared {
    real sums[LANES][WARP];
};

/* A block: WARP columns of one chunk; thread (x, y) sums every LANES-th row from y. */
template <typename Value>
static __global__ void sum_chunk(real *sums, Value value, size_t rows, size_t chunk, size_t columns)
{
    DT_SHARED(shared, s);
    size_t column = (size_t)blockIdx.x * WARP + threadIdx.x, begin = blockIdx.y * chunk;
    size_t end = begin + chunk < rows ? begin + chunk : rows;
    real sum = 0;
    if (column < columns)
        for (size_t row = begin + threadIdx.y; row < end; row += LANES)
            sum += value(row, column);
    s.sums[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y > 0 || column >= columns)
        return;
    for (int lane = 1; lane < LANES; lane++)
        sum += s.sums[lane][threadIdx.x];
    sums[blockIdx.y * columns + column] = sum;
}

static __global__ void join_chunks(real *sums, const real *chunks, size_t count, size_t columns,
                                   bool add)
{
    size_t column = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (column >= columns)
        return;
    real sum = add ? sums[column] : 0;
    for (size_t i = 0; i < count; i++)
        sum += chunks[i * columns + column];
    sums[column] = sum;
}

template <typename Value>
static void sum(real *sums, Value value, size_t rows, size_t columns, bool add)
{
    size_t chunk = rows > CHUNKS * LEAST ? (rows + CHUNKS - 1) / CHUNKS : LEAST;
    unsigned chunks = rows > 0 ? blocks_for(rows, chunk) : 1;
    real *partial = (real *)dt_cuda_scratch(chunks * columns * sizeof(real));
    if (!partial)
        return;
    DT_LAUNCH(sum_chunk<Value>, dim3(blocks_for(columns, WARP), chunks), dim3(WARP, LANES),
              sizeof(shared), partial, value, rows, chunk, columns);
    DT_LAUNCH(join_chunks, blocks_for(columns, 256), 256, 0, sums, partial, chunks, columns, add);
}
} // namespace columns

#endif
