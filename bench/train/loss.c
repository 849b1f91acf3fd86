/* SPDX-License-Identifier: Apache-2.0 */
/* Output head, softmax and cross-entropy, fused over chunks of rows: logits become their own
 * gradient in place while they are in cache. Where ranks share the vocabulary, each has the logits of
 * its tokens; what they tell each other of a row is three numbers. */
#include <math.h>

#include "layers.h"

#define CHUNK 512 /* rows */

/* What a rank knows of a row: its highest logit, the sum of exponentials less that, and the logit of
 * the target, 0 where that is another rank's. */
struct seen {
    real top, sum, right;
};
enum { SEEN = sizeof(struct seen) / sizeof(real) };

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
DT_SIMD static struct seen raise_row(real *row, long target, size_t vocab)
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
    return (struct seen){.top = top, .sum = sum, .right = right};
}

/* The row becomes (p - target) * scale; mine: what raise_row said of it, all: the same of all ranks
 * together. */
DT_SIMD static void lower_row(real *row, long target, const struct seen *mine,
                              const struct seen *all, real scale, size_t vocab)
{
    real factor = scale * dt_exp(mine->top - all->top) / all->sum;
#pragma omp simd
    for (size_t j = 0; j < vocab; j++)
        row[j] *= factor;
    if (target >= 0)
        row[target] -= scale;
}

/* What all ranks know of row `row` of `count`: rank by rank in `seen`. */
static struct seen join(const struct seen *seen, size_t row, size_t count, int ranks)
{
    struct seen all = seen[row];
    for (int r = 1; r < ranks; r++) {
        const struct seen *one = &seen[(size_t)r * count + row];
        real top = one->top > all.top ? one->top : all.top;
        all.sum = all.sum * dt_exp(all.top - top) + one->sum * dt_exp(one->top - top);
        all.top = top;
        all.right += one->right;
    }
    return all;
}

/* -log p(target) */
static double loss_of(const struct seen *all)
{
    return log((double)all->sum) - (double)(all->right - all->top);
}

struct chunk {
    const struct dt_head *head;
    real *logits;
    const int *targets;
    double *losses;
    struct seen *seen; /* of all ranks */
    size_t count, stride;
    bool gradient;
};

static long target_of(const struct chunk *c, size_t i)
{
    long place = (long)c->targets[i] - (long)c->head->vocab.first;
    return place >= 0 && place < (long)c->head->vocab.count ? place : -1;
}

/* One rank has it all: a row is done while it is in cache. */
static void chunk_alone(const struct chunk *c)
{
    const struct dt_head *h = c->head;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < c->count; i++) {
        real *row = c->logits + i * c->stride;
        const struct seen all = raise_row(row, target_of(c, i), h->vocab.count);
        if (c->gradient)
            lower_row(row, target_of(c, i), &all, &all, (real)h->scale, h->vocab.count);
        c->losses[i] = loss_of(&all);
    }
}

static int chunk_shared(const struct chunk *c, struct dt_error *err)
{
    const struct dt_head *h = c->head;
    struct dt_comm *tensor = h->tensor;
    struct seen *mine = c->seen + (size_t)tensor->rank * c->count;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < c->count; i++)
        mine[i] = raise_row(c->logits + i * c->stride, target_of(c, i), h->vocab.count);
    if (tensor->operations->gather_start(tensor, (real *)mine, (real *)c->seen, SEEN * c->count,
                                         err) < 0 ||
        dt_comm_drain(tensor, err) < 0)
        return -1;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < c->count; i++) {
        const struct seen all = join(c->seen, i, c->count, tensor->size);
        if (c->gradient)
            lower_row(c->logits + i * c->stride, target_of(c, i), &mine[i], &all, (real)h->scale,
                      h->vocab.count);
        c->losses[i] = loss_of(&all);
    }
    return 0;
}

static void chunk_forward(const struct chunk *c, const real *in)
{
    const struct dt_head *h = c->head;
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

static void chunk_backward(const struct chunk *c, real *d_in, const real *in, bool add)
{
    const struct dt_head *h = c->head;
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
    struct chunk c = {.head = h,
                      .logits = h->work,
                      .stride = stride_of(h->vocab.count),
                      .gradient = d_in != NULL};
    c.seen = (struct seen *)(void *)(h->work + chunk_of(rows) * c.stride);
    for (size_t begin = 0; begin < rows; begin += CHUNK) {
        const real *chunk = in + begin * h->channels;
        c.count = chunk_of(rows - begin);
        c.targets = targets + begin;
        c.losses = h->row_losses + begin;
        chunk_forward(&c, chunk);
        if (h->tensor->size == 1)
            chunk_alone(&c);
        else if (chunk_shared(&c, err) < 0)
            return -1;
        if (d_in)
            chunk_backward(&c, d_in + begin * h->channels, chunk, h->add || begin > 0);
    }
    *loss = 0;
    for (size_t i = 0; i < rows; i++)
        *loss += h->row_losses[i];
    return 0;
}
