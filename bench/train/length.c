/* SPDX-License-Identifier: Apache-2.0 */
/* Sum of squares in fixed pieces; see length.h. */
#include "length.h"

#define PIECE 4096 /* short enough for a sum in float lanes to lose nothing that matters */
#define GROUP 1024 /* pieces whose sums are kept at a time */

DT_SIMD static double piece_squares(const real *values, size_t count)
{
    real sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < count; i++)
        sum += values[i] * values[i];
    return (double)sum;
}

double dt_squares(const real *values, size_t count)
{
    double total = 0;
    for (size_t begin = 0; begin < count; begin += (size_t)GROUP * PIECE) {
        double sums[GROUP] = {0};
        size_t rest = count - begin;
        size_t pieces = rest < (size_t)GROUP * PIECE ? (rest + PIECE - 1) / PIECE : GROUP;
#pragma omp parallel for schedule(static)
        for (size_t i = 0; i < pieces; i++) {
            size_t left = rest - i * PIECE;
            sums[i] = piece_squares(values + begin + i * PIECE, left < PIECE ? left : PIECE);
        }
        for (size_t i = 0; i < pieces; i++)
            total += sums[i];
    }
    return total;
}

double dt_clip_scale(double length, double most)
{
    return most > 0 && length > most ? most / length : 1;
}
