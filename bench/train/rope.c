/* SPDX-License-Identifier: Apache-2.0 */
/* Rotary positions: queries and keys are turned by angles that grow with their place, so that their
 * product depends on the distance alone. A turn is undone, and its gradient made, by the opposite
 * turn. */
#include "layers.h"

#include <math.h>

/* Made in double: at place 100000 an angle in float has no digits left after the point. */
void dt_rope_table(real *table, const size_t *places, size_t time, size_t head, double base)
{
    for (size_t t = 0; t < time; t++) {
        for (size_t i = 0; i < head / 2; i++) {
            double angle =
                (double)(places ? places[t] : t) * pow(base, -2.0 * (double)i / (double)head);
            table[t * head + i] = (real)cos(angle);
            table[t * head + head / 2 + i] = (real)sin(angle);
        }
    }
}

DT_SIMD static void turn(real *restrict values, const real *restrict table, size_t heads,
                         size_t head, real sign)
{
    const size_t half = head / 2;
    for (size_t h = 0; h < heads; h++, values += head) {
#pragma omp simd
        for (size_t i = 0; i < half; i++) {
            real x = values[i], y = values[half + i];
            real c = table[i], s = sign * table[half + i];
            values[i] = x * c - y * s;
            values[half + i] = y * c + x * s;
        }
    }
}

void dt_rope(real *qkv, const real *table, size_t batch, size_t time, size_t heads, size_t head,
             size_t stride, bool back)
{
#pragma omp parallel for schedule(static)
    for (size_t row = 0; row < batch * time; row++)
        turn(qkv + row * stride, table + row % time * head, heads, head, back ? -1 : 1);
}
