/* SPDX-License-Identifier: Apache-2.0 */
/* Activation checkpointing: what is made again in backward gives the same gradients, bit for bit, in
 * the memory that is promised; and what is not kept is really made again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "model.h"

enum { BATCH = 3, LAYERS = 6, CHANNELS = 32, HEADS = 4, SEQ = 20, VOCAB = 64 };

static struct dt_blas blas;
static int tokens[BATCH * SEQ], targets[BATCH * SEQ];

static struct dt_model_config config_of(int family)
{
    return (struct dt_model_config){.layers = LAYERS,
                                    .channels = CHANNELS,
                                    .heads = HEADS,
                                    .kv_heads = family == DT_FAMILY_LLAMA ? 2 : 0,
                                    .seq = SEQ,
                                    .vocab = VOCAB,
                                    .family = family};
}

static void open_model(struct dt_model *model, int family, enum dt_recompute recompute)
{
    const struct dt_model_config config = config_of(family);
    const struct dt_model_setup setup = {.max_batch = BATCH, .recompute = recompute, .blas = &blas};
    struct dt_error err;
    assert_int_equal(dt_model_init(model, &config, &setup, &err), 0);
    dt_layout_first_values(&model->layout, model->params, 3);
    for (size_t i = 0; i < model->layout.total; i++)
        model->params[i] += (real)0.01 * (real)(i % 5); /* biases other than 0 */
}

static void test_same_bits(void **state)
{
    (void)state;
    for (int family = DT_FAMILY_GPT2; family <= DT_FAMILY_LLAMA; family++) {
        struct dt_model kept, again;
        open_model(&kept, family, DT_RECOMPUTE_NONE);
        double loss = dt_model_train(&kept, tokens, targets, BATCH, 0.01, false, NULL);
        for (int mode = DT_RECOMPUTE_SELECTIVE; mode <= DT_RECOMPUTE_FULL; mode++) {
            open_model(&again, family, (enum dt_recompute)mode);
            for (int turn = 0; turn < 2; turn++) /* the second begins with what the first left */
                assert_true(loss ==
                            dt_model_train(&again, tokens, targets, BATCH, 0.01, false, NULL));
            assert_memory_equal(kept.grads, again.grads, kept.layout.total * sizeof(real));
            dt_model_fini(&again);
        }
        dt_model_fini(&kept);
    }
}

/* Reals a token that a layer keeps, and that all layers share, without what is one a row or a head. */
static size_t kept_per_token(const struct dt_model_config *c, enum dt_recompute mode, bool shared)
{
    size_t channels = (size_t)c->channels, cheap = 2 * channels + (size_t)c->hidden;
    size_t costly = dt_config_qkv(c) + 2 * channels + dt_config_up(c);
    if (mode == DT_RECOMPUTE_NONE)
        return shared ? 0 : cheap + costly + channels;
    if (mode == DT_RECOMPUTE_SELECTIVE)
        return shared ? cheap : costly + channels;
    return shared ? cheap + costly : channels;
}

static void test_memory(void **state)
{
    (void)state;
    for (int family = DT_FAMILY_GPT2; family <= DT_FAMILY_LLAMA; family++) {
        size_t before = SIZE_MAX;
        for (int mode = DT_RECOMPUTE_NONE; mode <= DT_RECOMPUTE_FULL; mode++) {
            struct dt_model model;
            open_model(&model, family, (enum dt_recompute)mode);
            const struct dt_model_config *c = &model.config;
            size_t rows = BATCH * SEQ, small = (4 + HEADS) * LAYERS + 4 + HEADS;
            size_t promised = rows * (kept_per_token(c, (enum dt_recompute)mode, false) * LAYERS +
                                      kept_per_token(c, (enum dt_recompute)mode, true) + CHANNELS);
            assert_in_range(model.kept_count, promised,
                            promised + rows * small + 64 * 13 * (LAYERS + 1));
            assert_true(model.memory_count < before);
            before = model.memory_count;
            dt_model_fini(&model);
        }
    }
}

/* What layers share is spoiled between forward and backward: a field that backward reads and does not
 * make again would give other gradients. */
static void spoil(void *context, size_t bucket)
{
    const struct dt_model *model = context;
    if (bucket != LAYERS + 1 || model->recompute == DT_RECOMPUTE_NONE)
        return;
    real *shared = model->memory; /* comes first */
    size_t count = (size_t)(model->slots[0].in - shared);
    assert_true(count >= kept_per_token(&model->config, model->recompute, true) * BATCH * SEQ);
    for (size_t i = 0; i < count; i++)
        shared[i] = (real)1e30;
}

static void test_spoiled(void **state)
{
    (void)state;
    for (int mode = DT_RECOMPUTE_NONE; mode <= DT_RECOMPUTE_FULL; mode++) {
        struct dt_model model, plain;
        open_model(&plain, DT_FAMILY_GPT2, (enum dt_recompute)mode);
        dt_model_train(&plain, tokens, targets, BATCH, 0.01, false, NULL);
        open_model(&model, DT_FAMILY_GPT2, (enum dt_recompute)mode);
        const struct dt_model_hooks hooks = {.grads_needed = spoil, .context = &model};
        dt_model_train(&model, tokens, targets, BATCH, 0.01, false, &hooks);
        assert_memory_equal(plain.grads, model.grads, plain.layout.total * sizeof(real));
        dt_model_fini(&model);
        dt_model_fini(&plain);
    }
}

static int open_blas(void **state)
{
    struct dt_error err;
    (void)state;
    for (int i = 0; i < BATCH * SEQ; i++) {
        tokens[i] = i * i % VOCAB;
        targets[i] = (i * 7 + 3) % VOCAB;
    }
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
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_spoiled),
    };
    return cmocka_run_group_tests(tests, open_blas, close_blas);
}
