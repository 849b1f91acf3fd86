/* SPDX-License-Identifier: Apache-2.0 */
/* Token and position embedding. */
#include "layers.h"

#define SLICE 64 /* channels that one thread sums at a time */

void dt_embedding_forward(real *out, const int *tokens, const real *token_table,
                          const real *position_table, size_t batch, size_t time, size_t channels)
{
#pragma omp parallel for schedule(static)
    for (size_t row = 0; row < batch * time; row++) {
        const real *token = token_table + (size_t)tokens[row] * channels;
        const real *position = position_table + row % time * channels;
        real *to = out + row * channels;
        for (size_t c = 0; c < channels; c++)
            to[c] = token[c] + position[c];
    }
}

static void add(real *restrict to, const real *restrict from, size_t count)
{
    for (size_t i = 0; i < count; i++)
        to[i] += from[i];
}

/* Threads share the channels, not the rows: each sum is then in the order of the rows. */
void dt_embedding_backward(real *d_token_table, real *d_position_table, const real *d_out,
                           const int *tokens, size_t batch, size_t time, size_t seq,
                           size_t channels)
{
#pragma omp parallel for schedule(static)
    for (size_t begin = 0; begin < channels; begin += SLICE) {
        size_t width = channels - begin < SLICE ? channels - begin : SLICE;
        for (size_t t = 0; t < seq; t++)
            memset(d_position_table + t * channels + begin, 0, width * sizeof(real));
        for (size_t row = 0; row < batch * time; row++) {
            const real *from = d_out + row * channels + begin;
            add(d_token_table + (size_t)tokens[row] * channels + begin, from, width);
            add(d_position_table + row % time * channels + begin, from, width);
        }
    }
}
