/* SPDX-License-Identifier: Apache-2.0 */
/* Gradients of every layer and of the whole model against central differences, in double. */
#include <math.h>
#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "kernels.h"
#include "layers.h"
#include "length.h"
#include "model.h"
#include "rng.h"

enum { BATCH = 2, TIME = 70, CHANNELS = 12, HEADS = 3, WIDE = 20, ROWS = BATCH * TIME, VOCAB = 11 };

static struct dt_blas blas;
static real work[2 * 64 * 128 * 4];

static real *make(size_t count, unsigned stream)
{
    real *values = calloc(count, sizeof *values);
    assert_non_null(values);
    dt_rng_fill(values, 0, count, 0.7, 7, stream);
    return values;
}

static double dot(const real *a, const real *b, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += a[i] * b[i];
    return sum;
}

/* Some elements of `values`: does moving them change loss() as `gradient` says? */
static void check(const char *what, double (*loss)(void *), void *context, real *values,
                  const real *gradient, size_t count)
{
    const double step = 1e-4;
    for (size_t n = 0; n < 12; n++) {
        size_t i = dt_rng_bits(3, n, count) % count;
        real saved = values[i];
        double at[4];
        static const double places[] = {-2, -1, 1, 2};
        for (int p = 0; p < 4; p++) { /* five-point rule: error of order step^4 */
            values[i] = saved + places[p] * step;
            at[p] = loss(context);
        }
        values[i] = saved;
        double slope = (at[0] - 8 * at[1] + 8 * at[2] - at[3]) / (12 * step);
        double scale = fmax(fabs(slope), fabs(gradient[i]));
        if (fabs(slope - gradient[i]) > 1e-6 * scale + 1e-10)
            fail_msg("%s[%zu]: gradient %.12g, difference %.12g", what, i, gradient[i], slope);
    }
}

struct layernorm {
    real *in, *weight, *bias, *slope, *out, *mean, *inverse;
};

static double layernorm_loss(void *context)
{
    struct layernorm *l = context;
    dt_layernorm_forward(l->out, l->mean, l->inverse, l->in, l->weight, l->bias, ROWS, CHANNELS);
    return dot(l->out, l->slope, ROWS * CHANNELS);
}

static void test_layernorm(void **state)
{
    (void)state;
    size_t count = ROWS * CHANNELS;
    struct layernorm l = {make(count, 1), make(CHANNELS, 2), make(CHANNELS, 3), make(count, 4),
                          make(count, 5), make(ROWS, 6),     make(ROWS, 7)};
    real *d_in = calloc(count, sizeof(real)), d_weight[CHANNELS], d_bias[CHANNELS];
    layernorm_loss(&l);
    dt_layernorm_backward(d_in, d_weight, d_bias, l.slope, l.in, l.weight, l.mean, l.inverse, ROWS,
                          CHANNELS, false);
    check("layernorm d_in", layernorm_loss, &l, l.in, d_in, count);
    check("layernorm d_weight", layernorm_loss, &l, l.weight, d_weight, CHANNELS);
    check("layernorm d_bias", layernorm_loss, &l, l.bias, d_bias, CHANNELS);
    real *all[] = {l.in, l.weight, l.bias, l.slope, l.out, l.mean, l.inverse, d_in};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

struct linear {
    real *in, *weight, *bias, *slope, *out, *residual;
};

static double linear_loss(void *context)
{
    struct linear *l = context;
    dt_linear_forward(&blas, l->out, l->in, l->weight, ROWS, CHANNELS, WIDE);
    dt_bias_add(l->out, l->bias, ROWS, WIDE);
    dt_residual_add(l->out, l->residual, l->out, l->bias, ROWS, WIDE);
    return dot(l->out, l->slope, ROWS * WIDE);
}

static void test_linear(void **state)
{
    (void)state;
    struct linear l = {make(ROWS * CHANNELS, 1), make(WIDE * CHANNELS, 2), make(WIDE, 3),
                       make(ROWS * WIDE, 4),     make(ROWS * WIDE, 5),     make(ROWS * WIDE, 6)};
    real *d_in = make(ROWS * CHANNELS, 7), *d_weight = make(WIDE * CHANNELS, 8), d_bias[WIDE];
    dt_linear_backward(&blas, d_in, d_weight, d_bias, l.slope, l.in, l.weight, ROWS, CHANNELS, WIDE,
                       false);
    for (size_t i = 0; i < WIDE; i++)
        d_bias[i] *= 2; /* it was added twice */
    check("linear d_in", linear_loss, &l, l.in, d_in, ROWS * CHANNELS);
    check("linear d_weight", linear_loss, &l, l.weight, d_weight, WIDE * CHANNELS);
    check("linear d_bias", linear_loss, &l, l.bias, d_bias, WIDE);
    check("residual", linear_loss, &l, l.residual, l.slope, ROWS * WIDE);
    real *all[] = {l.in, l.weight, l.bias, l.slope, l.out, l.residual, d_in, d_weight};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

struct rmsnorm {
    real *in, *weight, *slope, *out, *inverse;
};

static double rmsnorm_loss(void *context)
{
    struct rmsnorm *l = context;
    dt_rmsnorm_forward(l->out, l->inverse, l->in, l->weight, ROWS, CHANNELS);
    return dot(l->out, l->slope, ROWS * CHANNELS);
}

static void test_rmsnorm(void **state)
{
    (void)state;
    size_t count = ROWS * CHANNELS;
    struct rmsnorm l = {make(count, 1), make(CHANNELS, 2), make(count, 3), make(count, 4),
                        make(ROWS, 5)};
    real *d_in = calloc(count, sizeof(real)), d_weight[CHANNELS];
    rmsnorm_loss(&l);
    dt_rmsnorm_backward(d_in, d_weight, l.slope, l.in, l.weight, l.inverse, ROWS, CHANNELS, false);
    check("rmsnorm d_in", rmsnorm_loss, &l, l.in, d_in, count);
    check("rmsnorm d_weight", rmsnorm_loss, &l, l.weight, d_weight, CHANNELS);
    real *all[] = {l.in, l.weight, l.slope, l.out, l.inverse, d_in};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

struct attention {
    struct dt_attention_shape shape;
    size_t wide; /* a row of qkv */
    real *qkv, *slope, *out, *log_sum;
};

static double attention_loss(void *context)
{
    struct attention *a = context;
    dt_attention_forward(&blas, a->out, a->log_sum, a->qkv, work, &a->shape);
    return dot(a->out, a->slope, ROWS * CHANNELS);
}

static void check_attention(size_t heads, size_t kv_heads)
{
    size_t head = CHANNELS / heads, wide = (heads + 2 * kv_heads) * head;
    struct attention a = {{BATCH, TIME, heads, kv_heads, head},
                          wide,
                          make(ROWS * wide, 1),
                          make(ROWS * CHANNELS, 2),
                          make(ROWS * CHANNELS, 3),
                          make(ROWS * heads, 4)};
    real *d_qkv = make(ROWS * wide, 5);
    attention_loss(&a);
    dt_attention_backward(&blas, d_qkv, a.slope, a.out, a.log_sum, a.qkv, work, &a.shape);
    for (size_t part = 0; part < 6; part++) /* the last are keys and values alone */
        check("attention", attention_loss, &a, a.qkv + part * ROWS * wide / 6,
              d_qkv + part * ROWS * wide / 6, ROWS * wide / 6);
    /* nothing may come from a later token */
    real before = a.out[10 * CHANNELS];
    for (size_t c = CHANNELS; c < wide; c++)
        a.qkv[11 * wide + c] += 5;
    attention_loss(&a);
    assert_true(a.out[10 * CHANNELS] == before);
    assert_true(a.out[11 * CHANNELS] != 0);
    free(a.qkv);
    free(a.slope);
    free(a.out);
    free(a.log_sum);
    free(d_qkv);
}

static void test_attention(void **state)
{
    (void)state;
    check_attention(HEADS, HEADS);
    check_attention(6, 2); /* three heads of queries share keys and values */
    check_attention(6, 1);
}

struct rope {
    real *in, *values, *slope, *table;
};

enum { ROPE_HEADS = 2, ROPE_HEAD = 4, ROPE_STRIDE = 11 }; /* 3 channels are left alone */

static double rope_loss(void *context)
{
    struct rope *r = context;
    memcpy(r->values, r->in, ROWS * ROPE_STRIDE * sizeof(real));
    dt_rope(r->values, r->table, BATCH, TIME, ROPE_HEADS, ROPE_HEAD, ROPE_STRIDE, false);
    return dot(r->values, r->slope, ROWS * ROPE_STRIDE);
}

static void test_rope(void **state)
{
    (void)state;
    size_t count = ROWS * ROPE_STRIDE;
    struct rope r = {make(count, 1), make(count, 2), make(count, 3), make(TIME * ROPE_HEAD, 4)};
    real *d_in = make(count, 5);
    dt_rope_table(r.table, NULL, TIME, ROPE_HEAD, 100);
    rope_loss(&r);
    for (size_t c = 0; c < ROPE_STRIDE; c++) /* place 0 is not turned */
        assert_true(r.values[c] == r.in[c]);
    size_t at =
        3 * ROPE_STRIDE; /* place 3, channels 1 and 3 of head 0: an angle of 3 / sqrt(100) */
    assert_true(fabs(r.values[at + 1] - (r.in[at + 1] * cos(0.3) - r.in[at + 3] * sin(0.3))) <
                1e-14);
    assert_true(r.values[at + 8] == r.in[at + 8]);
    memcpy(d_in, r.slope, count * sizeof(real));
    dt_rope(d_in, r.table, BATCH, TIME, ROPE_HEADS, ROPE_HEAD, ROPE_STRIDE, true);
    check("rope", rope_loss, &r, r.in, d_in, count);
    free(r.in);
    free(r.values);
    free(r.slope);
    free(r.table);
    free(d_in);
}

struct swiglu {
    real *values, *out, *slope;
};

static double swiglu_loss(void *context)
{
    struct swiglu *g = context;
    dt_swiglu_forward(g->out, g->values, ROWS, WIDE);
    return dot(g->out, g->slope, ROWS * WIDE);
}

static void test_swiglu(void **state)
{
    (void)state;
    struct swiglu g = {make(ROWS * 2 * WIDE, 1), make(ROWS * WIDE, 2), make(ROWS * WIDE, 3)};
    real *d_values = make(ROWS * 2 * WIDE, 4), pair[2] = {2, 3}, out[1];
    dt_swiglu_backward(d_values, g.slope, g.values, ROWS, WIDE);
    check("swiglu", swiglu_loss, &g, g.values, d_values, ROWS * 2 * WIDE);
    dt_swiglu_forward(out, pair, 1, 1); /* the first is the gate */
    assert_true(fabs(out[0] - 6 / (1 + exp(-2))) < 1e-14);
    free(g.values);
    free(g.out);
    free(g.slope);
    free(d_values);
}

struct gelu {
    real *in, *values, *out, *slope, bias[CHANNELS];
};

static double gelu_loss(void *context)
{
    struct gelu *g = context;
    memcpy(g->values, g->in, ROWS * CHANNELS * sizeof(real));
    dt_gelu_forward(g->out, g->values, g->bias, ROWS, CHANNELS);
    return dot(g->out, g->slope, ROWS * CHANNELS);
}

static void test_gelu(void **state)
{
    (void)state;
    size_t count = ROWS * CHANNELS;
    struct gelu g = {.in = make(count, 1),
                     .values = make(count, 2),
                     .out = make(count, 3),
                     .slope = make(count, 4),
                     .bias = {0.25, -1, 3}};
    real *d_in = make(count, 5);
    gelu_loss(&g);
    memcpy(d_in, g.slope, count * sizeof(real));
    dt_gelu_backward(d_in, g.values, count);
    check("gelu", gelu_loss, &g, g.in, d_in, count);
    real one[1] = {1}, none[1] = {0}, out[1];
    dt_gelu_forward(out, one, none, 1, 1);
    assert_true(fabs(out[0] - 0.5 * (1 + tanh(0.7978845608028654 * 1.044715))) < 1e-14);
    free(g.in);
    free(g.values);
    free(g.out);
    free(g.slope);
    free(d_in);
}

static int tokens[ROWS], targets[ROWS];

struct whole {
    struct dt_model model;
};

static double whole_loss(void *context)
{
    struct whole *w = context;
    w->model.moe.loss = 0;
    double loss = dt_model_evaluate(&w->model, tokens, targets, BATCH, NULL);
    return (loss + w->model.moe.loss) * 0.01;
}

/* Every tensor of the model; this covers embedding, head and loss. */
static void check_model(const struct dt_model_config *config)
{
    struct whole w;
    struct dt_error err;
    assert_int_equal(dt_model_init(&w.model, config,
                                   &(struct dt_model_setup){.max_batch = BATCH, .blas = &blas},
                                   &err),
                     0);
    const struct dt_layout *layout = &w.model.layout;
    dt_layout_first_values(layout, w.model.params, 5);
    for (size_t i = 0; i < layout->total; i++)
        w.model.params[i] += 0.02 * (double)(i % 7);
    double loss = dt_model_train(&w.model, tokens, targets, BATCH, 0.01, false, NULL);
    loss = (loss + w.model.moe.loss) * 0.01;
    assert_true(fabs(loss - whole_loss(&w)) < 1e-12);
    for (size_t t = 0; t < layout->tensor_count; t++) {
        const struct dt_tensor *tensor = &layout->tensors[t];
        check(tensor->name, whole_loss, &w, w.model.params + tensor->offset,
              w.model.grads + tensor->offset, tensor->count);
    }
    /* micro-batches add up to the batch: in each tensor, from whatever was there before */
    real *whole = malloc(layout->total * sizeof *whole);
    memcpy(whole, w.model.grads, layout->total * sizeof *whole);
    for (int sample = 0; sample < BATCH; sample++)
        dt_model_train(&w.model, tokens + sample * TIME, targets + sample * TIME, 1, 0.01,
                       sample > 0, NULL);
    for (size_t t = 0; t < layout->tensor_count; t++) {
        const struct dt_tensor *tensor = &layout->tensors[t];
        double away = 0, all = 0;
        for (size_t i = tensor->offset; i < tensor->offset + tensor->count; i++) {
            away += (w.model.grads[i] - whole[i]) * (w.model.grads[i] - whole[i]);
            all += whole[i] * whole[i];
        }
        if (!(all > 0) || sqrt(away) > 1e-12 * sqrt(all))
            fail_msg("%s: micro-batches differ by %g of %g", tensor->name, sqrt(away), sqrt(all));
    }
    free(whole);
    dt_model_fini(&w.model);
}

static void test_model(void **state)
{
    (void)state;
    struct dt_model_config config = {
        .layers = 2, .channels = CHANNELS, .heads = HEADS, .seq = TIME, .vocab = VOCAB};
    check_model(&config);
    config.untied = true;
    check_model(&config);
    config.kv_heads = 1; /* nothing in grouped queries is Llama's alone */
    check_model(&config);
    config.experts = 3;
    config.experts_balance = 0.3;
    check_model(&config);
}

static void test_llama(void **state)
{
    (void)state;
    struct dt_model_config config = {.layers = 2,
                                     .channels = CHANNELS,
                                     .heads = 6,
                                     .seq = TIME,
                                     .vocab = VOCAB,
                                     .family = DT_FAMILY_LLAMA,
                                     .kv_heads = 2,
                                     .hidden = WIDE,
                                     .untied = true};
    check_model(&config);
    config.untied = false;
    check_model(&config);
    config.experts = 4;
    config.experts_per_token = 3;
    config.experts_balance = 0.3;
    check_model(&config);
}

/* The first update has length `rate` in each direction, whatever the gradient's size. */
static void test_adamw(void **state)
{
    (void)state;
    struct dt_tensor tensor = {.name = "t", .offset = 0, .count = 3, .decay = true};
    struct dt_layout layout = {.tensors = &tensor, .tensor_count = 1, .total = 3};
    real params[3] = {1, 1, 1}, grads[3] = {5, -1e-3, 0}, first[3] = {0}, second[3] = {0};
    dt_adamw_update(&dt_kernels_cpu, &(struct dt_adamw){0.1, 0.9, 0.95, 1e-12, 0.5, 1, 1}, &layout,
                    params, grads, first, second);
    assert_true(fabs(params[0] - (0.95 - 0.1)) < 1e-9);
    assert_true(fabs(params[1] - (0.95 + 0.1)) < 1e-9);
    assert_true(fabs(params[2] - 0.95) < 1e-9);
}

/* Any length of array, whole pieces or not, and a scale that brings it to the length wanted. */
static void test_length(void **state)
{
    (void)state;
    static const size_t counts[] = {1, 4095, 4097, 4096 * 1024, 4096 * 1024 + 5};
    for (size_t n = 0; n < sizeof counts / sizeof *counts; n++) {
        real *values = make(counts[n], 1);
        double all = dot(values, values, counts[n]);
        assert_true(fabs(dt_squares(values, counts[n]) - all) <= 1e-12 * all);
        free(values);
    }
    assert_true(dt_clip_scale(4, 1) == 0.25);
    assert_true(dt_clip_scale(0.5, 1) == 1);
    assert_true(dt_clip_scale(4, 0) == 1);
    assert_true(dt_clip_scale(NAN, 1) == 1);
}

static void test_exp(void **state)
{
    (void)state;
    for (double x = -30; x < 30; x += 0.0371)
        assert_true(fabs(dt_exp(x) - exp(x)) <= 4e-15 * exp(x));
}

static int open_blas(void **state)
{
    struct dt_error err;
    (void)state;
    for (int i = 0; i < ROWS; i++) {
        tokens[i] = i * i % VOCAB;
        targets[i] = (i * 7 + 3) % VOCAB;
    }
    omp_set_num_threads(1); /* thousands of tiny regions: threads would only wait for each other */
    return dt_blas_open(&blas, DT_BLAS_BUILTIN, 1, &err);
}

static int close_blas(void **state)
{
    (void)state;
    dt_blas_close(&blas);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exp),       cmocka_unit_test(test_layernorm),
        cmocka_unit_test(test_rmsnorm),   cmocka_unit_test(test_linear),
        cmocka_unit_test(test_attention), cmocka_unit_test(test_rope),
        cmocka_unit_test(test_gelu),      cmocka_unit_test(test_swiglu),
        cmocka_unit_test(test_model),     cmocka_unit_test(test_llama),
        cmocka_unit_test(test_adamw),     cmocka_unit_test(test_length),
    };
    return cmocka_run_group_tests(tests, open_blas, close_blas);
}
