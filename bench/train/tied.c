/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of a tied table's gradient between ranks; see tied.h. */
#include "tied.h"

#include "kernels.h"
#include "layout.h"

bool dt_tied_wanted(const struct dt_layout *layout, const struct dt_comm *comm,
                    struct dt_range vocab, size_t rows)
{
    bool tied = !layout->config.untied && dt_part_stages(&layout->part) == 1;
    /* a rank gets rows x (N - 1); of a sum of the table 2 x (N - 1) / N */
    return tied && comm->size > 1 && rows * (size_t)comm->size < 2 * vocab.count;
}

static size_t part_size(const struct dt_tied *t)
{
    return t->most * (t->channels + 1);
}

static real *rows_of(const struct dt_tied *t, int rank)
{
    return t->memory + (size_t)rank * part_size(t);
}

static int *tokens_of(const struct dt_tied *t, int rank)
{
    return (int *)(void *)(rows_of(t, rank) + t->most * t->channels);
}

int dt_tied_open(struct dt_tied *t, struct dt_comm *comm, const struct dt_tied_setup *setup,
                 struct dt_error *err)
{
    *t = (struct dt_tied){.comm = comm,
                          .kernels = setup->kernels,
                          .vocab = setup->vocab,
                          .channels = setup->channels,
                          .micros = setup->micros,
                          .most = (size_t)setup->micros * setup->rows};
    size_t count = part_size(t) * (size_t)comm->size;
    t->memory = comm->operations->memory(comm, count);
    if (t->memory)
        return 0;
    return dt_error_set(err, "no memory for the rows of all ranks' tokens: %zu MiB",
                        count * sizeof(real) >> 20);
}

int dt_tied_note(struct dt_tied *t, const real *d_rows, const int *tokens, size_t rows,
                 struct dt_error *err)
{
    int rank = t->comm->rank;
    if (t->noted == 0)
        t->rows = 0;
    t->kernels->copy(rows_of(t, rank) + t->rows * t->channels, d_rows, rows * t->channels);
    memcpy(tokens_of(t, rank) + t->rows, tokens, rows * sizeof *tokens);
    t->rows += rows;
    if (++t->noted < t->micros)
        return 0;
    t->noted = 0;
    int rc =
        t->comm->operations->gather_start(t->comm, rows_of(t, rank), t->memory, part_size(t), err);
    t->operation = t->comm->started;
    return rc;
}

/* To the rows of the table from real `begin` on that are whole in it. */
static void add_whole(const struct dt_tied *t, int rank, real *table, struct dt_range rows)
{
    const struct dt_embedding_gradient gradient = {
        .token_table = table, .vocab = rows, .add_token = true};
    t->kernels->embedding_backward(&gradient, rows_of(t, rank), tokens_of(t, rank), NULL, 1,
                                   t->rows, t->channels);
}

/* To `count` reals from `column` on of the row of `token`. */
static void add_cut(const struct dt_tied *t, int rank, real *to, size_t token, size_t column,
                    size_t count)
{
    const int *tokens = tokens_of(t, rank);
    for (size_t i = 0; count > 0 && i < t->rows; i++)
        if ((size_t)tokens[i] == token)
            t->kernels->add(to, rows_of(t, rank) + i * t->channels + column, count);
}

int dt_tied_finish(struct dt_tied *t, real *grads, size_t first, size_t count, struct dt_error *err)
{
    size_t c = t->channels, end = first + count;
    size_t from = (first + c - 1) / c, to = end / c; /* whole rows; none: to < from, in one row */
    /* the host reads the tokens */
    if (dt_comm_wait(t->comm, t->operation, err) < 0 || t->kernels->wait(err) < 0)
        return -1;
    for (int r = 0; r < t->comm->size; r++) {
        if (to < from) {
            add_cut(t, r, grads, t->vocab.first + to, first - to * c, count);
            continue;
        }
        add_cut(t, r, grads, t->vocab.first + from - 1, first % c, from * c - first);
        add_whole(t, r, grads + (from * c - first),
                  (struct dt_range){t->vocab.first + from, to - from});
        add_cut(t, r, grads + (to * c - first), t->vocab.first + to, 0, end - to * c);
    }
    return 0;
}
