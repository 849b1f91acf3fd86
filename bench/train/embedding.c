/* SPDX-License-Identifier: Apache-2.0 */
/* Token embedding, and learned positions where the model has them. */
#include "layers.h"

#define SLICE 64 /* channels that one thread sums at a time */

static void add(real *restrict to, const real *restrict from, size_t count)
{
    for (size_t i = 0; i < count; i++)
        to[i] += from[i];
}

void dt_embedding_forward(real *out, const int *tokens, const real *token_table,
                          const real *position_table, const size_t *places, struct dt_range vocab,
                          size_t batch, size_t time, size_t channels)
{
#pragma omp parallel for schedule(static)
    for (size_t row = 0; row < batch * time; row++) {
        size_t token = (size_t)tokens[row] - vocab.first; /* below it: past all */
        real *to = out + row * channels;
        if (token < vocab.count)
            memcpy(to, token_table + token * channels, channels * sizeof(real));
        else
            memset(to, 0, channels * sizeof(real));
        if (position_table)
            add(to, position_table + places[row % time] * channels, channels);
    }
}

static void clear(real *table, size_t rows, size_t channels, size_t width)
{
    for (size_t row = 0; row < rows; row++)
        memset(table + row * channels, 0, width * sizeof(real));
}

/* Threads share the channels, not the rows: each sum is then in the order of the rows. */
void dt_embedding_backward(const struct dt_embedding_gradient *g, const real *d_out,
                           const int *tokens, const size_t *places, size_t batch, size_t time,
                           size_t channels)
{
#pragma omp parallel for schedule(static)
    for (size_t begin = 0; begin < channels; begin += SLICE) {
        size_t width = channels - begin < SLICE ? channels - begin : SLICE;
        if (!g->add_token)
            clear(g->token_table + begin, g->vocab.count, channels, width);
        if (g->position_table && !g->add_position)
            clear(g->position_table + begin, g->seq, channels, width);
        for (size_t row = 0; row < batch * time; row++) {
            const real *from = d_out + row * channels + begin;
            size_t token = (size_t)tokens[row] - g->vocab.first;
            if (token < g->vocab.count)
                add(g->token_table + token * channels + begin, from, width);
            if (g->position_table)
                add(g->position_table + places[row % time] * channels + begin, from, width);
        }
    }
}
