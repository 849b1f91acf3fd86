/* SPDX-License-Identifier: Apache-2.0 */
/* Output head, softmax and cross-entropy, fused over chunks of rows: logits become their own
 * gradient in place while they are in cache. Where ranks share the vocabulary, each has the logits of
 * its tokens; what they tell each other of a row is three numbers. */
#include <math.h>

#include "kernels.h"

#define CHUNK 512 /* rows */

enum { SEEN = sizeof(struct dt_seen) / sizeof(real) };

/* Elements from row to row of the logits: whole tiles of a product, and no cache line shared by two
 * rows, which halves the time of the head's product where the vocabulary is odd. */
static size_t stride_of(size_t vocab)
{
    return (vocab + 31) / 32 * 32;
}

static size_t chunk_of(size_t rows)
{
    return rows < CHUNK ? rows : CHUNK;
}

size_t dt_loss_work_size(size_t rows, size_t vocab, int ranks)
{
    return chunk_of(rows) * (stride_of(vocab) + SEEN * (size_t)ranks);
}

/* The row's logits become exponentials less the highest. target: place in the row, -1: not here. */
DT_SIMD static struct dt_seen raise_row(real *row, long target, size_t vocab)
{
    real top = row[0];
#pragma omp simd reduction(max : top)
    for (size_t j = 0; j < vocab; j++)
        top = row[j] > top ? row[j] : top;
    real right = target < 0 ? 0 : row[target], sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t j = 0; j < vocab; j++) {
        real e = dt_exp(row[j] - top);
        row[j] = e;
        sum += e;
    }
    return (struct dt_seen){.top = top, .sum = sum, .right = right};
}

/* The row becomes (p - target) * scale; mine: what raise_row said of it, all: the same of all ranks
 * together. */
DT_SIMD static void lower_row(real *row, long target, const struct dt_seen *mine,
                              const struct dt_seen *all, real scale, size_t vocab)
{
    real factor = scale * dt_exp(mine->top - all->top) / all->sum;
#pragma omp simd
    for (size_t j = 0; j < vocab; j++)
        row[j] *= factor;
    if (target >= 0)
        row[target] -= scale;
}

/* What all ranks know of row `row` of `count`: rank by rank in `seen`. */
static struct dt_seen join(const struct dt_seen *seen, size_t row, size_t count, int ranks)
{
    struct dt_seen all = seen[row];
    for (int r = 1; r < ranks; r++) {
        const struct dt_seen *one = &seen[(size_t)r * count + row];
        real top = one->top > all.top ? one->top : all.top;
        all.sum = all.sum * dt_exp(all.top - top) + one->sum * dt_exp(one->top - top);
        all.top = top;
        all.right += one->right;
    }
    return all;
}

/* -log p(target) */
static double loss_of(const struct dt_seen *all)
{
    return log((double)all->sum) - (double)(all->right - all->top);
}

static long target_of(const struct dt_loss_chunk *c, size_t i)
{
    long place = (long)c->targets[i] - (long)c->vocab.first;
    return place >= 0 && place < (long)c->vocab.count ? place : -1;
}

/* A row is done while it is in cache. */
void dt_loss_alone(const struct dt_loss_chunk *c)
{
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < c->count; i++) {
        real *row = c->logits + i * c->stride;
        const struct dt_seen all = raise_row(row, target_of(c, i), c->vocab.count);
        if (c->gradient)
            lower_row(row, target_of(c, i), &all, &all, c->scale, c->vocab.count);
        c->losses[i] = loss_of(&all);
    }
}

void dt_loss_raise(const struct dt_loss_chunk *c)
{
    struct dt_seen *mine = c->seen + (size_t)c->rank * c->count;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < c->count; i++)
        mine[i] = raise_row(c->logits + i * c->stride, target_of(c, i), c->vocab.count);
}

void dt_loss_lower(const struct dt_loss_chunk *c)
{
    const struct dt_seen *mine = c->seen + (size_t)c->rank * c->count;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < c->count; i++) {
        const struct dt_seen all = join(c->seen, i, c->count, c->ranks);
        if (c->gradient)
            lower_row(c->logits + i * c->stride, target_of(c, i), &mine[i], &all, c->scale,
                      c->vocab.count);
        c->losses[i] = loss_of(&all);
    }
}

/* Rows of which other ranks have the rest of the logits. */
static int lower_together(const struct dt_head *h, const struct dt_loss_chunk *c,
                          struct dt_error *err)
{
    struct dt_comm *tensor = h->tensor;
    real *mine = (real *)(c->seen + (size_t)tensor->rank * c->count);
    h->blas->kernels->loss_raise(c);
    if (tensor->operations->gather_start(tensor, mine, (real *)c->seen, SEEN * c->count, err) < 0 ||
        dt_comm_drain(tensor, err) < 0)
        return -1;
    h->blas->kernels->loss_lower(c);
    return 0;
}

static void chunk_forward(const struct dt_head *h, const struct dt_loss_chunk *c, const real *in)
{
    dt_blas_all(h->blas, &(struct dt_product){.transpose_b = true,
                                              .m = c->count,
                                              .n = h->vocab.count,
                                              .k = h->channels,
                                              .a = in,
                                              .lda = h->channels,
                                              .b = h->table,
                                              .ldb = h->channels,
                                              .c = c->logits,
                                              .ldc = c->stride});
}

static void chunk_backward(const struct dt_head *h, const struct dt_loss_chunk *c, real *d_in,
                           const real *in, bool add)
{
    dt_blas_all(h->blas, &(struct dt_product){.m = c->count,
                                              .n = h->channels,
                                              .k = h->vocab.count,
                                              .a = c->logits,
                                              .lda = c->stride,
                                              .b = h->table,
                                              .ldb = h->channels,
                                              .c = d_in,
                                              .ldc = h->channels});
    dt_blas_all(h->blas, &(struct dt_product){.transpose_a = true,
                                              .m = h->vocab.count,
                                              .n = h->channels,
                                              .k = c->count,
                                              .a = c->logits,
                                              .lda = c->stride,
                                              .b = in,
                                              .ldb = h->channels,
                                              .accumulate = add,
                                              .c = h->d_table,
                                              .ldc = h->channels});
}

int dt_loss(const struct dt_head *h, real *d_in, const real *in, const int *targets, size_t rows,
            double *loss, struct dt_error *err)
{
    const struct dt_kernels *kernels = h->blas->kernels;
    struct dt_loss_chunk c = {.logits = h->work,
                              .stride = stride_of(h->vocab.count),
                              .vocab = h->vocab,
                              .scale = (real)h->scale,
                              .gradient = d_in != NULL,
                              .rank = h->tensor->rank,
                              .ranks = h->tensor->size};
    c.seen = (struct dt_seen *)(void *)(h->work + chunk_of(rows) * c.stride);
    for (size_t begin = 0; begin < rows; begin += CHUNK) {
        const real *chunk = in + begin * h->channels;
        c.count = chunk_of(rows - begin);
        c.targets = targets + begin;
        c.losses = h->row_losses + begin;
        chunk_forward(h, &c, chunk);
        if (c.ranks == 1)
            kernels->loss_alone(&c);
        else if (lower_together(h, &c, err) < 0)
            return -1;
        if (d_in)
            chunk_backward(h, &c, d_in + begin * h->channels, chunk, h->add || begin > 0);
    }
    if (kernels->wait(err) < 0)
        return -1;
    *loss = 0;
    for (size_t i = 0; i < rows; i++)
        *loss += h->row_losses[i];
    return 0;
}
