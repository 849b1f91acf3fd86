/* SPDX-License-Identifier: Apache-2.0 */
/* Rows to the places of the experts that they chose, and back. */
#include "kernel.cuh"

enum { THREADS = 256, WARPS = THREADS / WARP };

/* A block takes a place. */
static __global__ void sort(real *sorted, const real *rows, const size_t *slot, const real *weight,
                            size_t chosen, size_t channels)
{
    size_t place = blockIdx.x;
    const real *from = rows + place / chosen * channels;
    real *to = sorted + slot[place] * channels, factor = weight ? weight[place] : 1;
    for (size_t c = threadIdx.x; c < channels; c += THREADS)
        to[c] = factor * from[c];
}

void dt_cuda_rows_sort(real *sorted, const real *rows, const size_t *slot, const real *weight,
                       size_t count, size_t chosen, size_t channels)
{
    DT_LAUNCH(sort, (unsigned)(count * chosen), THREADS, 0, sorted, rows, slot, weight, chosen,
              channels);
}

/* A block takes a row, and its choices in their order. */
static __global__ void join(real *rows, const real *sorted, const size_t *slot, const real *weight,
                            size_t chosen, size_t channels)
{
    size_t first = blockIdx.x * chosen;
    for (size_t c = threadIdx.x; c < channels; c += THREADS) {
        real sum = rows[blockIdx.x * channels + c];
        for (size_t place = first; place < first + chosen; place++)
            sum += (weight ? weight[place] : 1) * sorted[slot[place] * channels + c];
        rows[blockIdx.x * channels + c] = sum;
    }
}

void dt_cuda_rows_join(real *rows, const real *sorted, const size_t *slot, const real *weight,
                       size_t count, size_t chosen, size_t channels)
{
    DT_LAUNCH(join, (unsigned)count, THREADS, 0, rows, sorted, slot, weight, chosen, channels);
}

/* A warp takes a place. */
static __global__ void dot(real *dots, const real *rows, const real *sorted, const size_t *slot,
                           size_t places, size_t chosen, size_t channels)
{
    size_t place = (size_t)blockIdx.x * WARPS + threadIdx.x / WARP, lane = threadIdx.x % WARP;
    if (place >= places)
        return;
    const real *a = rows + place / chosen * channels, *b = sorted + slot[place] * channels;
    real sum = 0;
    for (size_t c = lane; c < channels; c += WARP)
        sum += a[c] * b[c];
    sum = sum_of_warp(sum);
    if (lane == 0)
        dots[place] = sum;
}

void dt_cuda_rows_dot(real *dots, const real *rows, const real *sorted, const size_t *slot,
                      size_t count, size_t chosen, size_t channels)
{
    DT_LAUNCH(dot, blocks_for(count * chosen, WARPS), THREADS, 0, dots, rows, sorted, slot,
              count * chosen, chosen, channels);
}
