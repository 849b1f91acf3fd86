/* SPDX-License-Identifier: Apache-2.0 */
/* Losses and gradients of both families against values that PyTorch computed in fp64; see
 * tests/fixtures/train/make_reference.py. The bars are relative: an absolute one would let most
 * tensors pass with no gradient at all. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "kernels.h"
#include "length.h"
#include "model.h"
#include "rng.h"
#include "shipped.h"

enum { STEPS = 10, BATCH = 3, SEED = 5, TOKEN_SEED = 11 };

struct bars {
    double tensor; /* relative L2 of a tensor's gradient */
    double loss;   /* relative */
};
static const struct bars fp32_bars = {1e-5, 1e-6}, bf16_bars = {2e-2, 1e-3};

struct reference {
    struct dt_model_config config;
    double clip, losses[STEPS], lengths[STEPS], balances[STEPS];
    double *gradient; /* as the layout has it */
};

static struct dt_blas blas;
static struct bars bars;

static int number(FILE *file, const char *key)
{
    char format[64];
    int value;
    snprintf(format, sizeof format, "%s %%d\n", key);
    assert_int_equal(fscanf(file, format, &value), 1);
    return value;
}

static void read_tensors(FILE *file, const struct dt_layout *layout, double *gradient)
{
    for (size_t t = 0; t < layout->tensor_count; t++) {
        const struct dt_tensor *tensor = &layout->tensors[t];
        char name[64];
        int layer;
        size_t count;
        assert_int_equal(fscanf(file, "tensor %63s %d %zu\n", name, &layer, &count), 3);
        assert_string_equal(name, tensor->name);
        assert_int_equal(layer, tensor->layer);
        assert_int_equal(count, tensor->count);
        for (size_t i = 0; i < count; i++)
            assert_int_equal(fscanf(file, "%lf\n", &gradient[tensor->offset + i]), 1);
    }
}

static void read_reference(struct reference *r, const char *file_name)
{
    char path[128], name[16];
    struct dt_model_config *c = &r->config;
    struct dt_layout layout;
    struct dt_error err;
    snprintf(path, sizeof path, "tests/fixtures/train/%s.txt", file_name);
    char *place = source_path(path);
    FILE *file = fopen(place, "r");
    free(place);
    assert_non_null(file);
    *r = (struct reference){.clip = 0};
    assert_int_equal(fscanf(file, "%*[^\n]\nfamily %15s\n", name), 1);
    c->family = dt_family_find(name);
    c->layers = number(file, "layers");
    c->channels = number(file, "channels");
    c->heads = number(file, "heads");
    c->kv_heads = number(file, "kv_heads");
    c->hidden = number(file, "hidden");
    c->seq = number(file, "seq");
    c->vocab = number(file, "vocab");
    c->untied = number(file, "untied");
    c->experts = number(file, "experts");
    c->experts_per_token = number(file, "experts_per_token");
    assert_int_equal(fscanf(file, "experts_balance %lf\n", &c->experts_balance), 1);
    assert_int_equal(fscanf(file, "clip %lf\n", &r->clip), 1);
    for (int i = 0; i < STEPS; i++)
        assert_int_equal(
            fscanf(file, "step %*d %lf %lf %lf\n", &r->losses[i], &r->lengths[i], &r->balances[i]),
            3);
    assert_int_equal(dt_layout_init(&layout, c, NULL, &err), 0);
    r->gradient = calloc(layout.total, sizeof *r->gradient);
    read_tensors(file, &layout, r->gradient);
    dt_layout_fini(&layout);
    fclose(file);
}

static void samples(const struct dt_model_config *c, int step, int *tokens, int *targets)
{
    for (int sample = 0; sample < BATCH; sample++) {
        for (int i = 0; i <= c->seq; i++) {
            uint64_t index = (uint64_t)((step * BATCH + sample) * (c->seq + 1) + i);
            int token = (int)(dt_rng_bits(TOKEN_SEED, 0, index) % (uint64_t)c->vocab);
            if (i < c->seq)
                tokens[sample * c->seq + i] = token;
            if (i > 0)
                targets[sample * c->seq + i - 1] = token;
        }
    }
}

/* The first tensor whose gradient is off by more than the bar; NULL: none. *worst: the largest. */
static const char *compare(const struct dt_layout *layout, const real *grads,
                           const double *gradient, double *worst)
{
    const char *wrong = NULL;
    *worst = 0;
    for (size_t t = 0; t < layout->tensor_count; t++) {
        const struct dt_tensor *tensor = &layout->tensors[t];
        double away = 0, all = 0;
        for (size_t i = tensor->offset; i < tensor->offset + tensor->count; i++) {
            away += (grads[i] - gradient[i]) * (grads[i] - gradient[i]);
            all += gradient[i] * gradient[i];
        }
        double relative = sqrt(away / all);
        *worst = relative > *worst ? relative : *worst;
        if (!(relative <= bars.tensor) && !wrong)
            wrong = tensor->name;
    }
    return wrong;
}

/* The comparison itself must see what can go wrong: a gradient of 0, one shifted by an element, one
 * from another share of the samples. */
static void check_mutations(struct dt_model *model, const double *gradient, const int *tokens,
                            const int *targets, double scale)
{
    const struct dt_layout *layout = &model->layout;
    real *kept = malloc(layout->total * sizeof *kept);
    double worst;
    memcpy(kept, model->grads, layout->total * sizeof *kept);
    for (size_t t = 0; t < layout->tensor_count; t++) {
        const struct dt_tensor *tensor = &layout->tensors[t];
        real *place = model->grads + tensor->offset;
        memset(place, 0, tensor->count * sizeof *place);
        assert_ptr_equal(compare(layout, model->grads, gradient, &worst), tensor->name);
        memcpy(place + 1, kept + tensor->offset, (tensor->count - 1) * sizeof *place);
        assert_ptr_equal(compare(layout, model->grads, gradient, &worst), tensor->name);
        memcpy(place, kept + tensor->offset, tensor->count * sizeof *place);
    }
    size_t seq = (size_t)model->config.seq;
    dt_model_train(model, tokens, targets, BATCH - 1, scale, false, NULL);
    assert_non_null(compare(layout, model->grads, gradient, &worst)); /* a sample is missing */
    dt_model_train(model, tokens, targets, 1, scale, true, NULL);     /* one is there twice */
    assert_non_null(compare(layout, model->grads, gradient, &worst));
    dt_model_train(model, tokens, targets, BATCH, 2 * scale, false, NULL); /* a lost 1/n */
    assert_non_null(compare(layout, model->grads, gradient, &worst));
    for (size_t i = 0; i < BATCH; i++) /* and micro-batches are right */
        dt_model_train(model, tokens + i * seq, targets + i * seq, 1, scale, i > 0, NULL);
    assert_null(compare(layout, model->grads, gradient, &worst));
    memcpy(model->grads, kept, layout->total * sizeof *kept);
    free(kept);
}

static void check_family(const char *family)
{
    struct reference r;
    struct dt_model model;
    struct dt_error err;
    int tokens[BATCH * 64], targets[BATCH * 64];
    read_reference(&r, family);
    assert_int_equal(dt_model_init(&model, &r.config,
                                   &(struct dt_model_setup){.max_batch = BATCH, .blas = &blas},
                                   &err),
                     0);
    const struct dt_layout *layout = &model.layout;
    real *first = dt_reals(layout->total), *second = dt_reals(layout->total);
    dt_layout_first_values(layout, model.params, SEED);
    double scale = 1.0 / (BATCH * r.config.seq), worst;
    for (int step = 0; step < STEPS; step++) {
        samples(&r.config, step, tokens, targets);
        model.moe.loss = 0;
        double loss = scale * dt_model_train(&model, tokens, targets, BATCH, scale, false, NULL);
        double balance = scale * model.moe.loss;
        double length = sqrt(dt_squares(model.grads, layout->total));
        if (fabs(loss - r.losses[step]) > bars.loss * r.losses[step])
            fail_msg("%s step %d: loss %.9g, reference %.9g", family, step, loss, r.losses[step]);
        if (fabs(balance - r.balances[step]) > bars.loss * r.balances[step])
            fail_msg("%s step %d: balance %.9g, reference %.9g", family, step, balance,
                     r.balances[step]);
        if (fabs(length - r.lengths[step]) > bars.tensor * r.lengths[step])
            fail_msg("%s step %d: gradient of length %.9g, reference %.9g", family, step, length,
                     r.lengths[step]);
        if (step == 0) {
            const char *wrong = compare(layout, model.grads, r.gradient, &worst);
            print_message("%s: worst relative L2 of a gradient %.2g\n", family, worst);
            if (wrong)
                fail_msg("%s: gradient of %s is off by more than %g", family, wrong, bars.tensor);
            check_mutations(&model, r.gradient, tokens, targets, scale);
        }
        dt_adamw_update(&dt_kernels_cpu,
                        &(struct dt_adamw){.rate = 3e-3,
                                           .beta1 = 0.9,
                                           .beta2 = 0.95,
                                           .epsilon = 1e-8,
                                           .decay = 0.1,
                                           .scale = dt_clip_scale(length, r.clip),
                                           .step = step + 1},
                        layout, model.params, model.grads, first, second);
    }
    dt_model_fini(&model);
    free(first);
    free(second);
    free(r.gradient);
}

static void test_gpt2(void **state)
{
    (void)state;
    check_family("gpt2");
}

static void test_llama(void **state)
{
    (void)state;
    check_family("llama");
}

static void test_experts(void **state)
{
    (void)state;
    check_family("gpt2-experts");
    check_family("llama-experts");
}

/* Every way to make products of bf16 that this CPU has; rounding for the tiles of fp32 is one. */
static void test_bf16(void **state)
{
    (void)state;
    for (int isa = DT_GEMM_ROUNDED; isa < DT_GEMM_ISAS; isa++) {
        if (!dt_gemm_isa_usable((enum dt_gemm_isa)isa))
            continue;
        blas.isa = (enum dt_gemm_isa)isa;
        print_message("%s\n", dt_gemm_isa_name(blas.isa));
        check_family("gpt2");
        check_family("llama");
    }
}

static int open_fp32(void **state)
{
    struct dt_error err;
    (void)state;
    bars = fp32_bars;
    return dt_blas_open(&blas, DT_BLAS_BUILTIN, 1, &err);
}

static int open_bf16(void **state)
{
    struct dt_error err;
    (void)state;
    bars = bf16_bars;
    return dt_blas_open(&blas, DT_BLAS_BF16, 1, &err);
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
        cmocka_unit_test_setup_teardown(test_gpt2, open_fp32, close_blas),
        cmocka_unit_test_setup_teardown(test_llama, open_fp32, close_blas),
        cmocka_unit_test_setup_teardown(test_experts, open_fp32, close_blas),
        cmocka_unit_test_setup_teardown(test_bf16, open_bf16, close_blas),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
