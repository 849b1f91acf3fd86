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
    size_t begin, rows, length;  /* first query, queries, keys in reach of the last of them */
    size_t channels, wide, head; /* a row of the output, a row of qkv, one head */
    const real *q, *k, *v;
};

static size_t wide_of(const struct dt_attention_shape *s)
{
    return (s->heads + 2 * s->kv_heads) * s->head;
}

/* Within a row of qkv: the keys that a head of queries reads. Its values are kv_heads further. */
static size_t key_column(const struct dt_attention_shape *s, size_t head)
{
    return (s->heads + head / (s->heads / s->kv_heads)) * s->head;
}

/* qkv: of the sequence. */
static struct block block_at(const struct dt_blas *blas, const real *qkv, size_t begin, size_t head,
                             const struct dt_attention_shape *s)
{
    size_t rows = s->time - begin < BLOCK ? s->time - begin : BLOCK;
    size_t wide = wide_of(s);
    return (struct block){.blas = blas,
                          .begin = begin,
                          .rows = rows,
                          .length = begin + rows,
                          .channels = s->heads * s->head,
                          .wide = wide,
                          .head = s->head,
                          .q = qkv + begin * wide + head * s->head,
                          .k = qkv + key_column(s, head),
                          .v = qkv + key_column(s, head) + s->kv_heads * s->head};
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
                                              .ldb = b->wide,
                                              .c = out,
                                              .ldc = b->length});
}

static void forward_block(const struct block *b, real *out, real *log_sum, real *work)
{
    real scale = (real)(1.0 / sqrt((double)b->head));
    scores(b, work, b->q, b->wide, b->k);
    for (size_t i = 0; i < b->rows; i++)
        softmax_row(work + i * b->length, log_sum + b->begin + i, scale, b->begin + i + 1,
                    b->length);
    dt_blas_one(b->blas, &(struct dt_product){.m = b->rows,
                                              .n = b->head,
                                              .k = b->length,
                                              .a = work,
                                              .lda = b->length,
                                              .b = b->v,
                                              .ldb = b->wide,
                                              .c = out + b->begin * b->channels,
                                              .ldc = b->channels});
}

void dt_attention_forward(const struct dt_blas *blas, real *out, real *log_sum, const real *qkv,
                          real *work, const struct dt_attention_shape *s)
{
    size_t size = dt_attention_work_size(s->time), channels = s->heads * s->head;
    size_t blocks = (s->time + BLOCK - 1) / BLOCK;
#pragma omp parallel for schedule(static, 1) num_threads(blas->threads)
    for (size_t i = 0; i < s->batch * s->heads * blocks; i++) {
        size_t pair = i / blocks, sequence = pair / s->heads, head = pair % s->heads;
        struct block b =
            block_at(blas, qkv + sequence * s->time * wide_of(s), i % blocks * BLOCK, head, s);
        forward_block(&b, out + sequence * s->time * channels + head * s->head,
                      log_sum + pair * s->time, work + size * (size_t)omp_get_thread_num());
    }
}

struct gradients {
    const real *out, *d_out; /* rows of channels */
    const real *log_sum;
    real *d_q, *d_k, *d_v; /* rows as of qkv; d_q that of the block */
};

/* Blocks are walked from the last, which reaches every key and so writes all of d_k and d_v; the
 * others add. */
static void backward_block(const struct block *b, const struct gradients *g, real *work,
                           bool accumulate)
{
    real scale = (real)(1.0 / sqrt((double)b->head));
    real *p = work, *d_p = work + BLOCK * b->length;
    const real *d_out = g->d_out + b->begin * b->channels;
    scores(b, p, b->q, b->wide, b->k);
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
                             .ldc = b->wide};
    struct dt_product d_k = {.transpose_a = true,
                             .m = b->length,
                             .n = b->head,
                             .k = b->rows,
                             .a = d_p,
                             .lda = b->length,
                             .b = b->q,
                             .ldb = b->wide,
                             .accumulate = accumulate,
                             .c = g->d_k,
                             .ldc = b->wide};
    struct dt_product d_q = {.m = b->rows,
                             .n = b->head,
                             .k = b->length,
                             .a = d_p,
                             .lda = b->length,
                             .b = b->k,
                             .ldb = b->wide,
                             .c = g->d_q,
                             .ldc = b->wide};
    dt_blas_one(b->blas, &d_v);
    dt_blas_one(b->blas, &d_k);
    dt_blas_one(b->blas, &d_q);
}

static void backward_head(const struct dt_blas *blas, struct gradients g, real *d_qkv,
                          const real *qkv, size_t head, bool accumulate,
                          const struct dt_attention_shape *s, real *work)
{
    size_t blocks = (s->time + BLOCK - 1) / BLOCK;
    for (size_t i = blocks; i-- > 0;) {
        struct block b = block_at(blas, qkv, i * BLOCK, head, s);
        g.d_q = d_qkv + (b.q - qkv);
        g.d_k = d_qkv + (b.k - qkv);
        g.d_v = d_qkv + (b.v - qkv);
        backward_block(&b, &g, work, accumulate || i + 1 < blocks);
    }
}

/* The heads that share keys and values add to the same gradients, so one thread takes them all. */
void dt_attention_backward(const struct dt_blas *blas, real *d_qkv, const real *d_out,
                           const real *out, const real *log_sum, const real *qkv, real *work,
                           const struct dt_attention_shape *s)
{
    size_t group = s->heads / s->kv_heads, channels = s->heads * s->head;
    size_t size = dt_attention_work_size(s->time);
#pragma omp parallel for schedule(static) num_threads(blas->threads)
    for (size_t i = 0; i < s->batch * s->kv_heads; i++) {
        size_t sequence = i / s->kv_heads, first = i % s->kv_heads * group;
        size_t wide = sequence * s->time * wide_of(s);
        for (size_t head = first; head < first + group; head++) {
            size_t narrow = sequence * s->time * channels + head * s->head;
            struct gradients g = {.out = out + narrow,
                                  .d_out = d_out + narrow,
                                  .log_sum = log_sum + (sequence * s->heads + head) * s->time};
            backward_head(blas, g, d_qkv + wide, qkv + wide, head, head > first, s,
                          work + size * (size_t)omp_get_thread_num());
        }
    }
}
