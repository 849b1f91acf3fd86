/* SPDX-License-Identifier: Apache-2.0 */
/* The GPU's kernels, run thread by thread on the CPU (tests/fake-cuda/emulate.h), against the CPU's
 * own: every entry of the table, at sizes drawn by lot, all arrays compared, those that are only
 * read as well. Whatever the order of threads and blocks the bits are the same; and each barrier,
 * left out, is missed. test_train_double_kernels is the same in double, to 1e-12. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "emulated.h"
#include "internal.h"
#include "kernels.h"
#include "rng.h"

#ifdef DT_TRAIN_DOUBLE
static const double bar = 1e-12;
static const enum dt_blas_kind bf16_products = DT_BLAS_BUILTIN;
#else
static const double bar = 1e-5;
static const enum dt_blas_kind bf16_products = DT_BLAS_BF16;
#endif
static const double bf16_bar = 2e-2;

/* ---- what the kernels ask of the host ---- */

static bool bf16;

bool dt_cuda_bf16(void)
{
    return bf16;
}

static cudaStream_t stream;

cudaStream_t dt_cuda_stream(void)
{
    return stream;
}

void dt_cuda_note(cudaError_t code, const char *what)
{
    if (code != cudaSuccess)
        fail_msg("%s: CUDA says %d", what, (int)code);
}

void dt_cuda_launched(const char *what)
{
    (void)what;
}

static void *scratch;

/* As many bytes as were asked for, so that a sanitizer sees what is behind them; and not 0. */
void *dt_cuda_scratch(size_t bytes)
{
    free(scratch);
    scratch = malloc(bytes);
    memset(scratch, 0xff, bytes);
    return scratch;
}

/* ---- scenes: sizes and arrays that come out the same each time a case runs ---- */

enum { ARRAYS = 24 };

struct scene {
    const struct dt_kernels *kernels;
    const struct dt_blas *blas;
    uint64_t lots;
    size_t count, sizes[ARRAYS]; /* sizes: bytes */
    void *arrays[ARRAYS];
    bool reals[ARRAYS];
};

/* From `least` to `most`. */
static size_t draw(struct scene *s, size_t least, size_t most)
{
    s->lots = s->lots * 6364136223846793005u + 1442695040888963407u;
    return least + (size_t)(s->lots >> 33) % (most - least + 1);
}

static void *take(struct scene *s, size_t bytes, bool reals)
{
    assert_true(s->count < ARRAYS);
    s->sizes[s->count] = bytes;
    s->reals[s->count] = reals;
    return s->arrays[s->count++] = malloc(bytes > 0 ? bytes : 1);
}

static real *some(struct scene *s, size_t count)
{
    real *values = take(s, count * sizeof *values, true);
    dt_rng_fill(values, 0, count, 0.7, 7, (unsigned)draw(s, 0, 1u << 30));
    return values;
}

static int *some_ints(struct scene *s, size_t count, size_t most)
{
    int *values = take(s, count * sizeof *values, false);
    for (size_t i = 0; i < count; i++)
        values[i] = (int)draw(s, 0, most);
    return values;
}

/* A permutation of 0 to count - 1. */
static size_t *shuffled(struct scene *s, size_t count)
{
    size_t *values = take(s, count * sizeof *values, false);
    for (size_t i = 0; i < count; i++)
        values[i] = i;
    for (size_t i = count; i > 1; i--) {
        size_t j = draw(s, 0, i - 1), kept = values[j];
        values[j] = values[i - 1];
        values[i - 1] = kept;
    }
    return values;
}

static bool draw_flag(struct scene *s)
{
    return draw(s, 0, 1) == 1;
}

/* ---- cases: each a few calls, later ones with what earlier ones have made ---- */

static void embedding(struct scene *s)
{
    size_t batch = draw(s, 1, 3), time = draw(s, 1, 200), c = draw(s, 1, 300),
           most = draw(s, 0, 40);
    struct dt_range vocab = {draw(s, 0, most),
                             draw(s, 1, 30)}; /* of some tokens the rows are not here */
    struct dt_embedding_gradient g = {.token_table = some(s, vocab.count * c),
                                      .position_table = draw_flag(s) ? some(s, 2 * time * c) : NULL,
                                      .vocab = vocab,
                                      .seq = 2 * time,
                                      .add_token = draw_flag(s),
                                      .add_position = draw_flag(s)};
    const int *tokens = some_ints(s, batch * time, most);
    const size_t *places = shuffled(s, 2 * time);
    const real *token_table = some(s, vocab.count * c), *position_table = some(s, 2 * time * c);
    real *out = some(s, batch * time * c);
    s->kernels->embedding_forward(out, tokens, token_table,
                                  g.position_table ? position_table : NULL, places, vocab, batch,
                                  time, c);
    s->kernels->embedding_backward(&g, some(s, batch * time * c), tokens, places, batch, time, c);
}

static void layernorm(struct scene *s)
{
    size_t rows = draw(s, 1, 200), c = draw(s, 1, 100);
    const real *in = some(s, rows * c), *weight = some(s, c), *bias = some(s, c);
    real *mean = some(s, rows), *inverse = some(s, rows);
    s->kernels->layernorm_forward(some(s, rows * c), mean, inverse, in, weight, bias, rows, c);
    bool add = draw_flag(s);
    real *d_in = some(s, rows * c), *d_weight = some(s, c), *d_bias = some(s, c);
    s->kernels->layernorm_backward(d_in, d_weight, d_bias, some(s, rows * c), in, weight, mean,
                                   inverse, rows, c, add);
}

static void rmsnorm(struct scene *s)
{
    size_t rows = draw(s, 1, 200), c = draw(s, 1, 100);
    const real *in = some(s, rows * c), *weight = some(s, c);
    real *inverse = some(s, rows);
    s->kernels->rmsnorm_forward(some(s, rows * c), inverse, in, weight, rows, c);
    bool add = draw_flag(s);
    real *d_in = some(s, rows * c), *d_weight = some(s, c);
    s->kernels->rmsnorm_backward(d_in, d_weight, some(s, rows * c), in, weight, inverse, rows, c,
                                 add);
}

/* More rows than fit as many chunks of the least size as there may be. */
static void column_sums(struct scene *s)
{
    size_t rows = draw(s, 8000, 9000), c = draw(s, 1, 40);
    real *sums = some(s, c);
    s->kernels->column_sums(sums, some(s, rows * c), rows, c, draw_flag(s));
    s->kernels->column_sums(some(s, c), NULL, 0, c, false);
}

static void biases(struct scene *s)
{
    size_t rows = draw(s, 1, 20), c = draw(s, 1, 600);
    const real *bias = draw_flag(s) ? some(s, c) : NULL;
    real *values = some(s, rows * c);
    s->kernels->bias_add(values, bias, rows, c);
    s->kernels->residual_add(some(s, rows * c), some(s, rows * c), values, bias, rows, c);
}

static void rope(struct scene *s)
{
    size_t batch = draw(s, 1, 3), time = draw(s, 1, 20), heads = draw(s, 1, 6);
    size_t head = 2 * draw(s, 1, 20), stride = (heads + draw(s, 0, 3)) * head;
    real *qkv = some(s, batch * time * stride), *table = some(s, time * head);
    s->kernels->rope(qkv, table, batch, time, heads, head, stride, draw_flag(s));
}

static void gelu(struct scene *s)
{
    size_t rows = draw(s, 1, 20), c = draw(s, 1, 600);
    real *values = some(s, rows * c), *bias = draw_flag(s) ? some(s, c) : NULL;
    values[0] = 60;
    values[rows * c - 1] = -60;
    s->kernels->gelu_forward(some(s, rows * c), values, bias, rows, c);
    s->kernels->gelu_backward(some(s, rows * c), values, rows * c);
}

static void swiglu(struct scene *s)
{
    size_t rows = draw(s, 1, 20), hidden = draw(s, 1, 600);
    const real *values = some(s, rows * 2 * hidden);
    s->kernels->swiglu_forward(some(s, rows * hidden), values, rows, hidden);
    real *d_values = some(s, rows * 2 * hidden);
    s->kernels->swiglu_backward(d_values, some(s, rows * hidden), values, rows, hidden);
}

static struct dt_attention_shape draw_shape(struct scene *s, size_t most_time, size_t most_head)
{
    struct dt_attention_shape shape = {.batch = draw(s, 1, 2),
                                       .time = draw(s, 1, most_time),
                                       .kv_heads = draw(s, 1, 2),
                                       .head = draw(s, most_head / 2, most_head)};
    shape.heads = shape.kv_heads * draw(s, 1, 2);
    return shape;
}

static void attend(struct scene *s, size_t most_time, size_t most_head)
{
    const struct dt_attention_shape shape = draw_shape(s, most_time, most_head);
    size_t rows = shape.batch * shape.time, c = shape.heads * shape.head;
    size_t row = c + 2 * shape.kv_heads * shape.head;
    const real *qkv = some(s, rows * row);
    real *out = some(s, rows * c), *log_sum = some(s, rows * shape.heads);
    real *work = malloc(dt_attention_work_size(shape.time) * sizeof *work);
    s->kernels->attention_forward(s->blas, out, log_sum, qkv, work, &shape);
    real *d_qkv = some(s, rows * row);
    s->kernels->attention_backward(s->blas, d_qkv, some(s, rows * c), out, log_sum, qkv, work,
                                   &shape);
    free(work);
}

static void attention_32(struct scene *s)
{
    attend(s, 140, 32);
}

static void attention_64(struct scene *s)
{
    attend(s, 140, 64);
}

static void attention_128(struct scene *s)
{
    attend(s, 70, 128);
}

static void attention_256(struct scene *s)
{
    attend(s, 50, 256);
}

static void count_call(void *context)
{
    ++*(int *)context;
}

/* Keys that come in two blocks, the second one whole or causal, as a ring brings them. */
static void attention_spans(struct scene *s)
{
    const struct dt_attention_shape shape = draw_shape(s, 140, 32);
    size_t rows = shape.batch * shape.time, c = shape.heads * shape.head;
    size_t kv_row = 2 * shape.kv_heads * shape.head, q_row = c + draw(s, 0, 5);
    const real *q = some(s, rows * q_row), *d_out = some(s, rows * c);
    real *out = some(s, rows * c), *log_sum = some(s, rows * shape.heads);
    real *d_q = some(s, rows * q_row);
    real *work = malloc(dt_attention_work_size(shape.time) * sizeof *work);
    int calls = 0;
    struct dt_attention_input in[2];
    struct dt_attention_span span[2];
    for (int i = 0; i < 2; i++) {
        const real *kv = some(s, rows * kv_row);
        in[i] = (struct dt_attention_input){q, kv, kv + shape.kv_heads * shape.head, q_row, kv_row};
        size_t first = i == 0 ? 0 : draw(s, 0, shape.time - 1);
        span[i] = (struct dt_attention_span){.first_query = first,
                                             .queries = shape.time - first,
                                             .keys = draw(s, 1, shape.time),
                                             .causal = i == 1 && draw_flag(s),
                                             .add = i == 1,
                                             .between = count_call,
                                             .context = &calls};
        if (span[i].causal)
            span[i].keys = shape.time;
        s->kernels->attention_span_forward(s->blas, out, log_sum, &in[i], work, &shape, &span[i]);
    }
    for (int i = 0; i < 2; i++) {
        real *d_kv = some(s, rows * kv_row);
        const struct dt_attention_gradient d = {d_q, d_kv, d_kv + shape.kv_heads * shape.head};
        s->kernels->attention_span_backward(s->blas, &d, d_out, out, log_sum, &in[i], work, &shape,
                                            &span[i]);
    }
    assert_true(calls >= 4);
    free(work);
}

#ifndef DT_TRAIN_DOUBLE
/* As gemm_bf16.c rounds: the bits behind the 16th are those of a product with 1. */
static void rounding(struct scene *s)
{
    size_t rows = draw(s, 1, 5), columns = draw(s, 1, 600), stride = columns + draw(s, 0, 9);
    real *from = some(s, rows * stride), *to = some(s, rows * columns);
    uint16_t *bits = malloc(rows * columns * sizeof *bits);
    from[0] = NAN;
    if (s->kernels != &dt_kernels_cpu) {
        dt_cuda_round(bits, from, rows, columns, stride);
        for (size_t i = 0; i < rows * columns; i++) {
            uint32_t whole = (uint32_t)bits[i] << 16;
            memcpy(&to[i], &whole, sizeof whole);
        }
    } else {
        const real one = 1;
        for (size_t i = 0; i < rows * columns; i++)
            dt_blas_one(s->blas,
                        &(struct dt_product){.m = 1,
                                             .n = 1,
                                             .k = 1,
                                             .a = from + i / columns * stride + i % columns,
                                             .lda = 1,
                                             .b = &one,
                                             .ldb = 1,
                                             .c = to + i,
                                             .ldc = 1});
    }
    assert_true(isnan(to[0]));
    from[0] = to[0] = 0;
    free(bits);
}
#endif

static void loss_alone(struct scene *s)
{
    struct dt_loss_chunk c = {.count = draw(s, 1, 12), .vocab = {0, draw(s, 1, 2000)}};
    c.stride = c.vocab.count + draw(s, 0, 31);
    c.logits = some(s, c.count * c.stride);
    for (size_t i = 0; i < c.count * c.stride; i++)
        c.logits[i] *= 20;
    c.targets = some_ints(s, c.count, c.vocab.count - 1);
    c.scale = (real)0.37;
    c.gradient = draw_flag(s);
    c.losses = take(s, c.count * sizeof *c.losses, false);
    memset(c.losses, 0, c.count * sizeof *c.losses);
    c.seen = malloc(c.count * sizeof *c.seen);
    c.ranks = 1;
    s->kernels->loss_alone(&c);
    real *losses = some(s, c.count); /* to a bar, where doubles would be compared bit by bit */
    for (size_t i = 0; i < c.count; i++) {
        losses[i] = (real)c.losses[i];
        c.losses[i] = 0;
    }
    if (!c.gradient) /* then they are anybody's */
        memset(c.logits, 0, c.count * c.stride * sizeof *c.logits);
    free(c.seen);
}

/* Two ranks with a part of the vocabulary each. */
static void loss_shared(struct scene *s)
{
    size_t rows = draw(s, 1, 12), first = draw(s, 1, 900), vocab = first + draw(s, 1, 900);
    const int *targets = some_ints(s, rows, vocab - 1);
    struct dt_seen *seen = calloc(2 * rows, sizeof *seen);
    double *losses = calloc(rows, sizeof *losses);
    struct dt_loss_chunk chunks[2];
    for (int rank = 0; rank < 2; rank++) {
        struct dt_loss_chunk *c = &chunks[rank];
        *c = (struct dt_loss_chunk){.count = rows,
                                    .vocab = {rank * first, rank == 0 ? first : vocab - first},
                                    .targets = targets,
                                    .scale = (real)0.37,
                                    .gradient = true,
                                    .losses = losses,
                                    .seen = seen,
                                    .rank = rank,
                                    .ranks = 2};
        c->stride = c->vocab.count + draw(s, 0, 31);
        c->logits = some(s, rows * c->stride);
        s->kernels->loss_raise(c);
    }
    for (int rank = 0; rank < 2; rank++) {
        s->kernels->loss_lower(&chunks[rank]);
        real *told = some(s, rows);
        for (size_t i = 0; i < rows; i++)
            told[i] = (real)losses[i];
    }
    free(losses);
    free(seen);
}

static void router(struct scene *s)
{
    size_t time = draw(s, 1, 40), rows = time * draw(s, 1, 4);
    const struct dt_moe_shape shape = {.experts = draw(s, 2, 20), .chosen = draw(s, 1, 2)};
    real *logits = some(s, rows * shape.experts), *probability = some(s, rows * shape.experts);
    for (size_t i = 0; i < rows * shape.experts; i += 3)
        logits[i] = logits[0]; /* equal ones: the first is chosen */
    real *weight = some(s, rows * shape.chosen);
    int *choice = some_ints(s, rows * shape.chosen, 0);
    s->kernels->router_forward(probability, weight, choice, logits, rows, &shape);
    real *d_logits = some(s, rows * shape.experts), *d_weight = some(s, rows * shape.chosen);
    s->kernels->router_backward(d_logits, d_weight, probability, weight, choice,
                                some(s, rows / time * shape.experts), 0.3, rows, time, &shape);
}

static void rows_of_experts(struct scene *s)
{
    size_t count = draw(s, 1, 40), chosen = draw(s, 1, 3), c = draw(s, 1, 300);
    const size_t *slot = shuffled(s, count * chosen);
    const real *weight = draw_flag(s) ? some(s, count * chosen) : NULL;
    real *rows = some(s, count * c), *sorted = some(s, count * chosen * c);
    s->kernels->rows_dot(some(s, count * chosen), rows, sorted, slot, count, chosen, c);
    s->kernels->rows_join(rows, sorted, slot, weight, count, chosen, c);
    s->kernels->rows_sort(sorted, rows, slot, weight, count, chosen, c);
}

static void adamw(struct scene *s)
{
    const struct dt_adamw_factors f = {(real)0.9,  (real)0.95, (real)1e-2, (real)3.1,
                                       (real)1e-8, (real)0.7,  (real)0.999};
    size_t count = draw(s, 1, 3000);
    real *params = some(s, count), *grads = some(s, count);
    real *first = some(s, count), *second = some(s, count);
    for (size_t i = 0; i < count; i++)
        second[i] *= second[i];
    s->kernels->adamw(&f, params, grads, first, second, count);
}

static void arrays(struct scene *s)
{
    size_t count = draw(s, 1, 3000), most = draw(s, 1, 40), wide = draw(s, 1, 50);
    real *values = some(s, count), *other = some(s, count), *sum = some(s, 1);
    s->kernels->add(values, other, count);
    s->kernels->zero(some(s, count), count);
    s->kernels->copy(some(s, count), values, count);
    size_t from_row = wide + draw(s, 0, 3), to_row = wide + draw(s, 0, 3);
    real *to = some(s, most * to_row);
    s->kernels->copy_rows(to, to_row, some(s, most * from_row), from_row, wide, most);
    size_t batch = draw(s, 1, 4), keys = draw(s, 1, most);
    real *keys_sum = some(s, batch * most * wide);
    s->kernels->add_keys(keys_sum, some(s, batch * most * wide), batch, keys, most, wide);
    double squares = 0;
    s->kernels->squares(&squares, values, count);
    *sum = (real)squares;
}

static const struct {
    const char *name;
    void (*run)(struct scene *scene);
    bool bf16; /* products are */
} cases[] = {
    {"embedding", embedding, false},
    {"layernorm", layernorm, false},
    {"rmsnorm", rmsnorm, false},
    {"column sums", column_sums, false},
    {"biases", biases, false},
    {"rope", rope, false},
    {"gelu", gelu, false},
    {"swiglu", swiglu, false},
    {"attention, 32", attention_32, false},
    {"attention, 64", attention_64, false},
    {"attention, 128", attention_128, false},
    {"attention, 256", attention_256, false},
    {"attention, spans", attention_spans, false},
    {"loss, alone", loss_alone, false},
    {"loss, shared", loss_shared, false},
    {"router", router, false},
    {"rows of experts", rows_of_experts, false},
    {"adamw", adamw, false},
    {"arrays", arrays, false},
#ifndef DT_TRAIN_DOUBLE
    {"attention, 64, bf16", attention_64, true},
    {"attention, 128, bf16", attention_128, true},
    {"attention, spans, bf16", attention_spans, true},
    {"rounding", rounding, true},
#endif
};
enum { CASES = sizeof cases / sizeof *cases };

/* ---- running them ---- */

static struct dt_kernels gpu;
static struct dt_blas blas[2]; /* of fp32, of bf16 */
static size_t first_case[64];  /* that came to a barrier */

static void play(struct scene *s, const struct dt_kernels *kernels, size_t number, size_t round)
{
    *s = (struct scene){
        .kernels = kernels, .blas = &blas[cases[number].bf16], .lots = 1000 * number + round};
    for (int i = 0; i < 10; i++)
        draw(s, 0, 1);
    bf16 = cases[number].bf16;
    cases[number].run(s);
    assert_int_equal(cudaStreamSynchronize(stream), cudaSuccess);
}

static void forget(struct scene *s)
{
    for (size_t i = 0; i < s->count; i++)
        free(s->arrays[i]);
}

static double distance(const real *a, const real *b, size_t count)
{
    double away = 0, whole = 0;
    for (size_t i = 0; i < count; i++) {
        double d = (double)a[i] - (double)b[i];
        away += d * d;
        whole += (double)b[i] * (double)b[i];
    }
    return away == 0 ? 0 : sqrt(away / whole);
}

/* Of all arrays, the largest relative L2 distance; of arrays of integers any difference is 1. NaN
 * is farther than all. */
static double farthest(const struct scene *a, const struct scene *b)
{
    double most = 0;
    assert_int_equal(a->count, b->count);
    for (size_t i = 0; i < a->count; i++) {
        assert_int_equal(a->sizes[i], b->sizes[i]);
        double d = a->reals[i] ? distance(a->arrays[i], b->arrays[i], a->sizes[i] / sizeof(real))
                               : memcmp(a->arrays[i], b->arrays[i], a->sizes[i]) != 0;
        if (isnan(d))
            return INFINITY;
        most = d > most ? d : most;
    }
    return most;
}

static bool same_bits(const struct scene *a, const struct scene *b)
{
    for (size_t i = 0; i < a->count; i++)
        if (memcmp(a->arrays[i], b->arrays[i], a->sizes[i]) != 0)
            return false;
    return true;
}

static void test_as_the_cpu(void **state)
{
    (void)state;
    for (size_t number = 0; number < CASES; number++) {
        size_t known = dt_emulate_barriers();
        for (size_t round = 0; round < 3; round++) {
            struct scene cpu, one, two;
            play(&cpu, &dt_kernels_cpu, number, round);
            dt_emulate_seed(round);
            play(&one, &gpu, number, round);
            dt_emulate_seed(round + 100);
            play(&two, &gpu, number, round);
            double away = farthest(&one, &cpu);
            if (!(away <= (cases[number].bf16 ? bf16_bar : bar)))
                fail_msg("%s, round %zu: %.3g away from the CPU's", cases[number].name, round,
                         away);
            if (!same_bits(&one, &two))
                fail_msg("%s, round %zu: bits depend on the order of threads", cases[number].name,
                         round);
            forget(&cpu);
            forget(&one);
            forget(&two);
        }
        for (; known < dt_emulate_barriers(); known++)
            first_case[known] = number;
    }
}

#ifndef DT_TRAIN_DOUBLE
/* Without the barrier some order of threads gives other bits. */
static bool is_missed(size_t barrier, size_t number)
{
    bool missed = false;
    for (size_t round = 0; round < 12 && !missed; round++) {
        struct scene whole, less;
        play(&whole, &gpu, number, round);
        dt_emulate_leave_out(barrier);
        play(&less, &gpu, number, round);
        dt_emulate_leave_out(DT_EMULATE_WHOLE);
        missed = !same_bits(&whole, &less);
        forget(&whole);
        forget(&less);
    }
    return missed;
}

static void test_each_barrier_left_out(void **state)
{
    (void)state;
    size_t tried = dt_emulate_barriers();
    assert_true(tried > 0);
    for (size_t barrier = 0; barrier < tried; barrier++)
        if (!is_missed(barrier, first_case[barrier]))
            fail_msg("nothing shows that the barrier of %s is left out (%s)",
                     dt_emulate_barrier(barrier), cases[first_case[barrier]].name);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_as_the_cpu),
#ifndef DT_TRAIN_DOUBLE
        cmocka_unit_test(test_each_barrier_left_out),
#endif
    };
    struct dt_error err;
    gpu = dt_kernels_cpu;
    dt_cuda_fill(&gpu);
    if (cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) != cudaSuccess ||
        dt_blas_open(&blas[0], DT_BLAS_BUILTIN, 1, &err) < 0 ||
        dt_blas_open(&blas[1], bf16_products, 1, &err) < 0)
        return 1;
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    dt_blas_close(&blas[0]);
    dt_blas_close(&blas[1]);
    free(scratch);
    return rc;
}
