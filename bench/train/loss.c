/* SPDX-License-Identifier: Apache-2.0 */
/* Output head, softmax and cross-entropy, fused over chunks of rows: logits become their own
 * gradient in place while they are in cache. */
#include "layers.h"

#include <math.h>

#define CHUNK 512 /* rows */

/* Elements from row to row of the logits: whole tiles of a product, and no cache line shared by two
 * rows, which halves the time of the head's product where the vocabulary is odd. */
static size_t stride_of(size_t vocab)
{
    return (vocab + 31) / 32 * 32;
}

size_t dt_loss_work_size(size_t rows, size_t vocab)
{
    return (rows < CHUNK ? rows : CHUNK) * stride_of(vocab);
}

/* Returns -log p(target). With `gradient`, the row becomes (p - target) * scale. */
DT_SIMD static double loss_row(real *row, int target, bool gradient, real scale, size_t vocab)
{
    real top = row[0];
#pragma omp simd reduction(max : top)
    for (size_t j = 0; j < vocab; j++)
        top = row[j] > top ? row[j] : top;
    real right = row[target] - top, sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t j = 0; j < vocab; j++) {
        real e = dt_exp(row[j] - top);
        row[j] = e;
        sum += e;
    }
    if (gradient) {
        real factor = scale / sum;
#pragma omp simd
        for (size_t j = 0; j < vocab; j++)
            row[j] *= factor;
        row[target] -= scale;
    }
    return log((double)sum) - (double)right;
}

double dt_loss(const struct dt_blas *blas, real *d_in, real *d_table, double *row_losses,
               real *logits, const real *in, const real *table, const int *targets, double scale,
               size_t rows, size_t channels, size_t vocab, bool add)
{
    const size_t stride = stride_of(vocab);
    for (size_t begin = 0; begin < rows; begin += CHUNK) {
        size_t count = rows - begin < CHUNK ? rows - begin : CHUNK;
        const real *chunk = in + begin * channels;
        dt_blas_all(blas, &(struct dt_product){.transpose_b = true,
                                               .m = count,
                                               .n = vocab,
                                               .k = channels,
                                               .a = chunk,
                                               .lda = channels,
                                               .b = table,
                                               .ldb = channels,
                                               .c = logits,
                                               .ldc = stride});
#pragma omp parallel for schedule(static)
        for (size_t i = 0; i < count; i++)
            row_losses[begin + i] =
                loss_row(logits + i * stride, targets[begin + i], d_in != NULL, (real)scale, vocab);
        if (!d_in)
            continue;
        dt_blas_all(blas, &(struct dt_product){.m = count,
                                               .n = channels,
                                               .k = vocab,
                                               .a = logits,
                                               .lda = stride,
                                               .b = table,
                                               .ldb = channels,
                                               .c = d_in + begin * channels,
                                               .ldc = channels});
        dt_blas_all(blas, &(struct dt_product){.transpose_a = true,
                                               .m = vocab,
                                               .n = channels,
                                               .k = count,
                                               .a = logits,
                                               .lda = stride,
                                               .b = chunk,
                                               .ldb = channels,
                                               .accumulate = add || begin > 0,
                                               .c = d_table,
                                               .ldc = channels});
    }
    double sum = 0;
    for (size_t i = 0; i < rows; i++)
        sum += row_losses[i];
    return sum;
}
