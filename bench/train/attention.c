/* SPDX-License-Identifier: Apache-2.0 */
/* Causal attention by blocks of BLOCK queries against all keys up to the block's end. A head's
 * scores exist for one block at a time only, in the thread's work space; forward keeps the log of
 * each row's sum of exponentials, from which backward makes the same probabilities again. */
#include "layers.h"

#include <math.h>
#include <omp.h>

#define BLOCK 64

size_t dt_attention_work_size(size_t time)
{
    return (2 * BLOCK * time + 63) / 64 * 64;
}

/* Scores of one query to probabilities over its `seen` keys; the rest of the row becomes 0. */
DT_SIMD static void softmax_row(real *row, real *log_sum, real scale, size_t seen, size_t length)
{
    real top = row[0];
#pragma omp simd reduction(max : top)
    for (size_t j = 0; j < seen; j++)
        top = row[j] > top ? row[j] : top;
    real sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t j = 0; j < seen; j++) {
        real e = dt_exp((row[j] - top) * scale);
        row[j] = e;
        sum += e;
    }
    real inverse = 1 / sum;
#pragma omp simd
    for (size_t j = 0; j < seen; j++)
        row[j] *= inverse;
    memset(row + seen, 0, (length - seen) * sizeof *row);
    *log_sum = top * scale + (real)log((double)sum);
}

/* Backward of one query: score becomes probability, d_score comes in as d_probability. */
DT_SIMD static void softmax_back_row(real *restrict score, real *restrict d_score,
                                     const real *restrict out, const real *restrict d_out,
                                     real log_sum, real scale, size_t seen, size_t length,
                                     size_t head)
{
    real dot = 0;
#pragma omp simd reduction(+ : dot)
    for (size_t c = 0; c < head; c++)
        dot += out[c] * d_out[c];
#pragma omp simd
    for (size_t j = 0; j < seen; j++) {
        real p = dt_exp(score[j] * scale - log_sum);
        score[j] = p;
        d_score[j] = p * (d_score[j] - dot) * scale;
    }
    memset(score + seen, 0, (length - seen) * sizeof *score);
    memset(d_score + seen, 0, (length - seen) * sizeof *d_score);
}

/* Where one head of one sequence lies, and one block of its queries. */
struct block {
    const struct dt_blas *blas;
    size_t begin, rows, length; /* first query, queries, keys in reach of the last of them */
    size_t channels, head;
    const real *q, *k, *v; /* rows of 3 * channels */
};

static struct block block_at(const struct dt_blas *blas, const real *qkv, size_t begin, size_t time,
                             size_t channels, size_t head)
{
    size_t rows = time - begin < BLOCK ? time - begin : BLOCK;
    return (struct block){.blas = blas,
                          .begin = begin,
                          .rows = rows,
                          .length = begin + rows,
                          .channels = channels,
                          .head = head,
                          .q = qkv + begin * 3 * channels,
                          .k = qkv + channels,
                          .v = qkv + 2 * channels};
}

/* out(rows x length) = left(rows x head) * right(length x head)^T */
static void scores(const struct block *b, real *out, const real *left, size_t left_stride,
                   const real *right)
{
    dt_blas_one(b->blas, &(struct dt_product){.transpose_b = true,
                                              .m = b->rows,
                                              .n = b->length,
                                              .k = b->head,
                                              .a = left,
                                              .lda = left_stride,
                                              .b = right,
                                              .ldb = 3 * b->channels,
                                              .c = out,
                                              .ldc = b->length});
}

static void forward_block(const struct block *b, real *out, real *log_sum, real *work)
{
    real scale = (real)(1.0 / sqrt((double)b->head));
    scores(b, work, b->q, 3 * b->channels, b->k);
    for (size_t i = 0; i < b->rows; i++)
        softmax_row(work + i * b->length, log_sum + b->begin + i, scale, b->begin + i + 1,
                    b->length);
    dt_blas_one(b->blas, &(struct dt_product){.m = b->rows,
                                              .n = b->head,
                                              .k = b->length,
                                              .a = work,
                                              .lda = b->length,
                                              .b = b->v,
                                              .ldb = 3 * b->channels,
                                              .c = out + b->begin * b->channels,
                                              .ldc = b->channels});
}

void dt_attention_forward(const struct dt_blas *blas, real *out, real *log_sum, const real *qkv,
                          real *work, size_t batch, size_t time, size_t channels, size_t heads)
{
    size_t head = channels / heads, size = dt_attention_work_size(time);
    size_t blocks = (time + BLOCK - 1) / BLOCK;
#pragma omp parallel for schedule(static, 1) num_threads(blas->threads)
    for (size_t i = 0; i < batch * heads * blocks; i++) {
        size_t pair = i / blocks, sequence = pair / heads, column = pair % heads * head;
        struct block b = block_at(blas, qkv + sequence * time * 3 * channels + column,
                                  i % blocks * BLOCK, time, channels, head);
        forward_block(&b, out + sequence * time * channels + column, log_sum + pair * time,
                      work + size * (size_t)omp_get_thread_num());
    }
}

struct gradients {
    const real *out, *d_out; /* rows of channels */
    const real *log_sum;
    real *d_q, *d_k, *d_v; /* rows of 3 * channels; d_q that of the block */
};

/* Blocks are walked from the last, which reaches every key and so writes all of d_k and d_v; the
 * others add. */
static void backward_block(const struct block *b, const struct gradients *g, real *work,
                           bool accumulate)
{
    real scale = (real)(1.0 / sqrt((double)b->head));
    real *p = work, *d_p = work + BLOCK * b->length;
    size_t wide = 3 * b->channels;
    const real *d_out = g->d_out + b->begin * b->channels;
    scores(b, p, b->q, wide, b->k);
    scores(b, d_p, d_out, b->channels, b->v);
    for (size_t i = 0; i < b->rows; i++)
        softmax_back_row(p + i * b->length, d_p + i * b->length,
                         g->out + (b->begin + i) * b->channels, d_out + i * b->channels,
                         g->log_sum[b->begin + i], scale, b->begin + i + 1, b->length, b->head);
    struct dt_product d_v = {.transpose_a = true,
                             .m = b->length,
                             .n = b->head,
                             .k = b->rows,
                             .a = p,
                             .lda = b->length,
                             .b = d_out,
                             .ldb = b->channels,
                             .accumulate = accumulate,
                             .c = g->d_v,
                             .ldc = wide};
    struct dt_product d_k = {.transpose_a = true,
                             .m = b->length,
                             .n = b->head,
                             .k = b->rows,
                             .a = d_p,
                             .lda = b->length,
                             .b = b->q,
                             .ldb = wide,
                             .accumulate = accumulate,
                             .c = g->d_k,
                             .ldc = wide};
    struct dt_product d_q = {.m = b->rows,
                             .n = b->head,
                             .k = b->length,
                             .a = d_p,
                             .lda = b->length,
                             .b = b->k,
                             .ldb = wide,
                             .c = g->d_q,
                             .ldc = wide};
    dt_blas_one(b->blas, &d_v);
    dt_blas_one(b->blas, &d_k);
    dt_blas_one(b->blas, &d_q);
}

void dt_attention_backward(const struct dt_blas *blas, real *d_qkv, const real *d_out,
                           const real *out, const real *log_sum, const real *qkv, real *work,
                           size_t batch, size_t time, size_t channels, size_t heads)
{
    size_t head = channels / heads, size = dt_attention_work_size(time);
    size_t blocks = (time + BLOCK - 1) / BLOCK;
#pragma omp parallel for schedule(static) num_threads(blas->threads)
    for (size_t pair = 0; pair < batch * heads; pair++) {
        size_t sequence = pair / heads, column = pair % heads * head;
        size_t narrow = sequence * time * channels + column;
        size_t wide = sequence * time * 3 * channels + column;
        for (size_t i = blocks; i-- > 0;) {
            struct block b = block_at(blas, qkv + wide, i * BLOCK, time, channels, head);
            struct gradients g = {.out = out + narrow,
                                  .d_out = d_out + narrow,
                                  .log_sum = log_sum + pair * time,
                                  .d_q = d_qkv + wide + b.begin * 3 * channels,
                                  .d_k = d_qkv + wide + channels,
                                  .d_v = d_qkv + wide + 2 * channels};
            backward_block(&b, &g, work + size * (size_t)omp_get_thread_num(), i + 1 < blocks);
        }
    }
}
