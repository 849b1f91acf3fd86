/* SPDX-License-Identifier: Apache-2.0 */
/* Attention by blocks of BLOCK queries against all keys that the block's last one sees. A head's
 * scores exist for one block at a time only, in the thread's work space; forward keeps the log of
 * each row's sum of exponentials, from which backward makes the same probabilities again, and by
 * which keys that come later (a ring's next block of them) are merged in. */
#include "layers.h"

#include <math.h>
#include <omp.h>

#define BLOCK 64

size_t dt_attention_work_size(size_t time)
{
    return (2 * BLOCK * time + 63) / 64 * 64;
}

/* Scores of one query to probabilities over its `seen` keys; the rest of the row becomes 0. Returns
 * the log of the sum of the scores' exponentials. */
DT_SIMD static real softmax_row(real *row, real scale, size_t seen, size_t length)
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
    return top * scale + (real)log((double)sum);
}

/* Probabilities over these keys alone, and output of the keys before, both become shares of the
 * softmax over all of them. */
DT_SIMD static void merge_row(real *restrict row, size_t length, real *restrict out, size_t head,
                              real *log_sum, real log_part)
{
    double before = (double)*log_sum, now = (double)log_part, top = before > now ? before : now;
    double all = top + log(exp(before - top) + exp(now - top));
    real keep = (real)exp(before - all), share = (real)exp(now - all);
#pragma omp simd
    for (size_t c = 0; c < head; c++)
        out[c] *= keep;
#pragma omp simd
    for (size_t j = 0; j < length; j++)
        row[j] *= share;
    *log_sum = (real)all;
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

/* One head of one sequence, and one block of its queries. */
struct block {
    const struct dt_blas *blas;
    size_t begin, rows, length; /* first query, queries, keys in reach of the last of them */
    bool causal;                /* query `begin + i` sees as many keys, and one more */
    size_t channels, head;      /* a row of the output, one head */
    size_t q_row, kv_row;
    const real *q, *k, *v; /* q: of the block */
};

static struct block block_at(const struct dt_blas *blas, const struct dt_attention_input *in,
                             size_t sequence, size_t head, size_t begin,
                             const struct dt_attention_shape *s, const struct dt_attention_span *a)
{
    size_t end = a->first_query + a->queries, rows = end - begin < BLOCK ? end - begin : BLOCK;
    size_t key_head = head / (s->heads / s->kv_heads) * s->head;
    size_t keys = sequence * s->time * in->kv_row + key_head;
    return (struct block){.blas = blas,
                          .begin = begin,
                          .rows = rows,
                          .length = a->causal ? begin + rows : a->keys,
                          .causal = a->causal,
                          .channels = s->heads * s->head,
                          .head = s->head,
                          .q_row = in->q_row,
                          .kv_row = in->kv_row,
                          .q = in->q + (sequence * s->time + begin) * in->q_row + head * s->head,
                          .k = in->k + keys,
                          .v = in->v + keys};
}

static size_t seen_by(const struct block *b, size_t row)
{
    return b->causal ? b->begin + row + 1 : b->length;
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
                                              .ldb = b->kv_row,
                                              .c = out,
                                              .ldc = b->length});
}

/* out, log_sum: of the head's first query. */
static void forward_block(const struct block *b, real *out, real *log_sum, real *work, bool merge)
{
    real scale = (real)(1.0 / sqrt((double)b->head));
    out += b->begin * b->channels;
    log_sum += b->begin;
    scores(b, work, b->q, b->q_row, b->k);
    for (size_t i = 0; i < b->rows; i++) {
        real *row = work + i * b->length;
        real log_part = softmax_row(row, scale, seen_by(b, i), b->length);
        if (merge)
            merge_row(row, b->length, out + i * b->channels, b->head, log_sum + i, log_part);
        else
            log_sum[i] = log_part;
    }
    dt_blas_one(b->blas, &(struct dt_product){.m = b->rows,
                                              .n = b->head,
                                              .k = b->length,
                                              .a = work,
                                              .lda = b->length,
                                              .b = b->v,
                                              .ldb = b->kv_row,
                                              .accumulate = merge,
                                              .c = out,
                                              .ldc = b->channels});
}

static void between(const struct dt_attention_span *a)
{
    if (a->between && omp_get_thread_num() == 0)
        a->between(a->context);
}

void dt_attention_span_forward(const struct dt_blas *blas, real *out, real *log_sum,
                               const struct dt_attention_input *in, real *work,
                               const struct dt_attention_shape *s,
                               const struct dt_attention_span *a)
{
    size_t size = dt_attention_work_size(s->time), channels = s->heads * s->head;
    size_t blocks = (a->queries + BLOCK - 1) / BLOCK;
#pragma omp parallel for schedule(static, 1) num_threads(blas->threads)
    for (size_t i = 0; i < s->batch * s->heads * blocks; i++) {
        size_t pair = i / blocks, sequence = pair / s->heads, head = pair % s->heads;
        struct block b =
            block_at(blas, in, sequence, head, a->first_query + i % blocks * BLOCK, s, a);
        forward_block(&b, out + sequence * s->time * channels + head * s->head,
                      log_sum + pair * s->time, work + size * (size_t)omp_get_thread_num(), a->add);
        between(a);
    }
}

struct gradients {
    const real *out, *d_out; /* rows of channels */
    const real *log_sum;
    real *d_q, *d_k, *d_v; /* rows as of q, k, v; d_q that of the block */
};

static void backward_block(const struct block *b, const struct gradients *g, real *work,
                           bool add_queries, bool add_keys)
{
    real scale = (real)(1.0 / sqrt((double)b->head));
    real *p = work, *d_p = work + BLOCK * b->length;
    const real *d_out = g->d_out + b->begin * b->channels;
    scores(b, p, b->q, b->q_row, b->k);
    scores(b, d_p, d_out, b->channels, b->v);
    for (size_t i = 0; i < b->rows; i++)
        softmax_back_row(p + i * b->length, d_p + i * b->length,
                         g->out + (b->begin + i) * b->channels, d_out + i * b->channels,
                         g->log_sum[b->begin + i], scale, seen_by(b, i), b->length, b->head);
    struct dt_product d_v = {.transpose_a = true,
                             .m = b->length,
                             .n = b->head,
                             .k = b->rows,
                             .a = p,
                             .lda = b->length,
                             .b = d_out,
                             .ldb = b->channels,
                             .accumulate = add_keys,
                             .c = g->d_v,
                             .ldc = b->kv_row};
    struct dt_product d_k = {.transpose_a = true,
                             .m = b->length,
                             .n = b->head,
                             .k = b->rows,
                             .a = d_p,
                             .lda = b->length,
                             .b = b->q,
                             .ldb = b->q_row,
                             .accumulate = add_keys,
                             .c = g->d_k,
                             .ldc = b->kv_row};
    struct dt_product d_q = {.m = b->rows,
                             .n = b->head,
                             .k = b->length,
                             .a = d_p,
                             .lda = b->length,
                             .b = b->k,
                             .ldb = b->kv_row,
                             .accumulate = add_queries,
                             .c = g->d_q,
                             .ldc = b->q_row};
    dt_blas_one(b->blas, &d_v);
    dt_blas_one(b->blas, &d_k);
    dt_blas_one(b->blas, &d_q);
}

/* Blocks are walked from the last, which reaches every key and so writes all of d_k and d_v; the
 * others add, and so do the other heads that share these keys. */
static void backward_head(const struct dt_blas *blas, struct gradients g,
                          const struct dt_attention_gradient *d,
                          const struct dt_attention_input *in, size_t sequence, size_t head,
                          const struct dt_attention_shape *s, const struct dt_attention_span *a,
                          real *work)
{
    bool written = head % (s->heads / s->kv_heads) > 0;
    for (size_t i = (a->queries + BLOCK - 1) / BLOCK; i-- > 0;) {
        struct block b = block_at(blas, in, sequence, head, a->first_query + i * BLOCK, s, a);
        g.d_q = d->d_q + (b.q - in->q);
        g.d_k = d->d_k + (b.k - in->k);
        g.d_v = d->d_v + (b.v - in->v);
        backward_block(&b, &g, work, a->add, written);
        written = true;
    }
}

/* The heads that share keys and values add to the same gradients, so one thread takes them all. */
void dt_attention_span_backward(const struct dt_blas *blas, const struct dt_attention_gradient *d,
                                const real *d_out, const real *out, const real *log_sum,
                                const struct dt_attention_input *in, real *work,
                                const struct dt_attention_shape *s,
                                const struct dt_attention_span *a)
{
    size_t group = s->heads / s->kv_heads, channels = s->heads * s->head;
    size_t size = dt_attention_work_size(s->time);
#pragma omp parallel for schedule(static) num_threads(blas->threads)
    for (size_t i = 0; i < s->batch * s->kv_heads; i++) {
        size_t sequence = i / s->kv_heads, first = i % s->kv_heads * group;
        for (size_t head = first; head < first + group; head++) {
            size_t narrow = sequence * s->time * channels + head * s->head;
            struct gradients g = {.out = out + narrow,
                                  .d_out = d_out + narrow,
                                  .log_sum = log_sum + (sequence * s->heads + head) * s->time};
            backward_head(blas, g, d, in, sequence, head, s, a,
                          work + size * (size_t)omp_get_thread_num());
            between(a);
        }
    }
}

struct dt_attention_input dt_attention_input(const real *qkv, const struct dt_attention_shape *s)
{
    size_t row = (s->heads + 2 * s->kv_heads) * s->head;
    const real *k = qkv + s->heads * s->head;
    return (struct dt_attention_input){qkv, k, k + s->kv_heads * s->head, row, row};
}

void dt_attention_forward(const struct dt_blas *blas, real *out, real *log_sum, const real *qkv,
                          real *work, const struct dt_attention_shape *s)
{
    const struct dt_attention_input in = dt_attention_input(qkv, s);
    const struct dt_attention_span all = {.queries = s->time, .keys = s->time, .causal = true};
    dt_attention_span_forward(blas, out, log_sum, &in, work, s, &all);
}

void dt_attention_backward(const struct dt_blas *blas, real *d_qkv, const real *d_out,
                           const real *out, const real *log_sum, const real *qkv, real *work,
                           const struct dt_attention_shape *s)
{
    const struct dt_attention_input in = dt_attention_input(qkv, s);
    const struct dt_attention_gradient d = {d_qkv, d_qkv + (in.k - qkv), d_qkv + (in.v - qkv)};
    const struct dt_attention_span all = {.queries = s->time, .keys = s->time, .causal = true};
    dt_attention_span_backward(blas, &d, d_out, out, log_sum, &in, work, s, &all);
}
