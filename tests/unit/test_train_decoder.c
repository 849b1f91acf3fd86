/* SPDX-License-Identifier: Apache-2.0 */
/* The model one token at a time finds the loss that the model that trains finds, and tokens are drawn
 * by their probability. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "decoder.h"
#include "generate.h"
#include "model.h"

enum { SEQ = 24, VOCAB = 40 };

static const struct dt_model_config configs[] = {
    {.layers = 2, .channels = 32, .heads = 4, .seq = SEQ, .vocab = VOCAB},
    {.layers = 2,
     .channels = 32,
     .heads = 4,
     .kv_heads = 2,
     .seq = SEQ,
     .vocab = VOCAB,
     .family = DT_FAMILY_LLAMA,
     .untied = 1},
};

static double loss_of(const real *logits, int target)
{
    double sum = 0;
    for (int i = 0; i < VOCAB; i++)
        sum += exp((double)logits[i]);
    return log(sum) - (double)logits[target];
}

static void test_loss(void **state)
{
    (void)state;
    for (size_t c = 0; c < sizeof configs / sizeof *configs; c++) {
        struct dt_blas blas;
        struct dt_model model;
        struct dt_decoder decoder;
        struct dt_error err;
        int tokens[SEQ], targets[SEQ];
        for (int i = 0; i < SEQ; i++) {
            tokens[i] = i * i * 7 % VOCAB;
            targets[i] = (i * 11 + 5) % VOCAB;
        }
        assert_int_equal(dt_blas_open(&blas, DT_BLAS_BUILTIN, 2, &err), 0);
        assert_int_equal(dt_model_init(&model, &configs[c],
                                       &(struct dt_model_setup){.max_batch = 1, .blas = &blas},
                                       &err),
                         0);
        dt_layout_first_values(&model.layout, model.params, 3);
        for (size_t i = 0; i < model.layout.total; i++) /* biases, too; and a steep softmax */
            model.params[i] = model.params[i] * 8 + (real)(i % 5) / 50;
        double wanted = dt_model_evaluate(&model, tokens, targets, 1, NULL), sum = 0;
        assert_int_equal(dt_decoder_init(&decoder, &model.layout, model.params, &blas, &err), 0);
        for (int round = 0; round < 2; round++) { /* what was kept is forgotten */
            sum = 0;
            dt_decoder_restart(&decoder);
            for (int i = 0; i < SEQ; i++) {
                dt_decoder_take(&decoder, tokens[i]);
                sum += loss_of(decoder.logits, targets[i]);
            }
            if (!(fabs(sum - wanted) < 1e-5 * wanted))
                fail_msg("%s: %.9g, and %.9g is right", dt_family_name(configs[c].family), sum,
                         wanted);
        }
        dt_decoder_fini(&decoder);
        dt_model_fini(&model);
        dt_blas_close(&blas);
    }
}

static void test_draw(void **state)
{
    (void)state;
    const real given[4] = {0, (real)log(2.0), (real)log(4.0), (real)log(1.0)}; /* 1 2 4 1 of 8 */
    const struct {
        double temperature, number;
        long top;
        int token;
    } cases[] = {
        {1, 0, 0, 0},      {1, 0.12, 0, 0},   {1, 0.13, 0, 1}, {1, 0.37, 0, 1}, {1, 0.38, 0, 2},
        {1, 0.87, 0, 2},   {1, 0.88, 0, 3},   {0, 0.01, 0, 2}, /* the most probable */
        {1, 0.01, 1, 2},   {1, 0.32, 2, 1},   {1, 0.34, 2, 2}, /* 2 and 4 of 6 */
        {0.5, 0.04, 0, 0}, {0.5, 0.05, 0, 1},                  /* 1 4 16 1 of 22 */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        real logits[4];
        memcpy(logits, given, sizeof logits);
        int token =
            dt_generate_draw(logits, 4, cases[i].temperature, cases[i].top, cases[i].number);
        if (token != cases[i].token)
            fail_msg("case %zu: %d, and %d is right", i, token, cases[i].token);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loss),
        cmocka_unit_test(test_draw),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
