/* SPDX-License-Identifier: Apache-2.0 */
/* Sums in the order of the ranks; see comm_queue.h. Memory is what limits them, so each real is read
 * once and written once to each place where it is wanted. */
#include "comm_queue.h"

enum { BLOCK = 1024 };

DT_SIMD static void add_reals(real *restrict sum, const real *restrict values, size_t count)
{
#pragma omp simd
    for (size_t i = 0; i < count; i++)
        sum[i] += values[i];
}

DT_SIMD static void add_pair(real *out, const real *a, const real *b, size_t count)
{
#pragma omp simd
    for (size_t i = 0; i < count; i++)
        out[i] = a[i] + b[i];
}

DT_SIMD static void add_pair_everywhere(real *restrict a, real *restrict b, size_t count)
{
#pragma omp simd
    for (size_t i = 0; i < count; i++) {
        real sum = a[i] + b[i];
        a[i] = sum;
        b[i] = sum;
    }
}

static void sum_reals(real *out, real *const *sources, int source_count, size_t count)
{
    real sum[BLOCK];
    for (size_t i = 0; i < count; i += BLOCK) {
        size_t part = count - i < BLOCK ? count - i : BLOCK;
        memcpy(sum, sources[0] + i, part * sizeof *sum);
        for (int s = 1; s < source_count; s++)
            add_reals(sum, sources[s] + i, part);
        memcpy(out + i, sum, part * sizeof *sum);
    }
}

void dt_sum_ordered(void *out, void *const *sources, int source_count, size_t count,
                    enum dt_comm_type type)
{
    if (type == DT_COMM_REAL && source_count == 2) {
        add_pair(out, sources[0], sources[1], count);
    } else if (type == DT_COMM_REAL) {
        sum_reals(out, (real *const *)sources, source_count, count);
    } else {
        for (size_t i = 0; i < count; i++) {
            double sum = 0;
            for (int s = 0; s < source_count; s++)
                sum += ((const double *)sources[s])[i];
            ((double *)out)[i] = sum;
        }
    }
}

void dt_sum_everywhere(void **places, int place_count, size_t count, enum dt_comm_type type)
{
    double sum[BLOCK]; /* stays in the first cache, as do the blocks that were read for it */
    size_t size = dt_type_size(type);
    if (type == DT_COMM_REAL && place_count == 2) {
        add_pair_everywhere(places[0], places[1], count);
        return;
    }
    for (size_t i = 0; i < count; i += BLOCK) {
        size_t part = count - i < BLOCK ? count - i : BLOCK;
        dt_sum_ordered(sum, places, place_count, part, type);
        for (int p = 0; p < place_count; p++) {
            memcpy(places[p], sum, part * size);
            places[p] = (char *)places[p] + part * size;
        }
    }
}
