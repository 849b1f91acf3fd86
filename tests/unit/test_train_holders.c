/* SPDX-License-Identifier: Apache-2.0 */
/* Comparison of what several ranks hold: in every layout a flipped bit is found, and the rank and its
 * tensor are named; and the shares of those who hold the same make up the whole. Ranks are threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "holders.h"
#include "mesh.h"
#include "reals.h"
#include "train_ranks.h"

static const struct dt_model_config config = {
    .layers = 4, .channels = 64, .heads = 4, .seq = 8, .vocab = 2048, .kv_heads = 4, .hidden = 128};

/* Small pieces of equal lengths, whose places differ in a bit or two. */
static const struct dt_model_config small = {
    .layers = 4, .channels = 32, .heads = 8, .seq = 16, .vocab = 261};

struct scene {
    const struct dt_model_config *config;
    struct dt_mesh_sizes sizes;
    int odd;            /* rank with the flipped bit; -1: none */
    const char *tensor; /* in which it is */
    int result;
    struct dt_error err;
    size_t shared; /* reals in the shares of all ranks */
    size_t most;   /* in the largest */
    pthread_mutex_t lock;
};

static void body(struct dt_comm *comm, void *context)
{
    struct scene *scene = context;
    struct dt_layout layout, own;
    struct dt_holders holders;
    struct dt_error err = {""};
    const struct dt_mesh_sizes at = dt_mesh_at(&scene->sizes, comm->rank);
    const struct dt_part part = dt_mesh_part(&scene->sizes, &at);
    if (dt_layout_init(&layout, scene->config, &part, &err) < 0 ||
        dt_layout_shard(&own, &layout, at.fsdp, scene->sizes.fsdp, &err) < 0 ||
        dt_holders_open(&holders, comm, &own, &err) < 0)
        abort();
    real *params = dt_reals(own.total);
    dt_layout_first_values(&own, params, 5);
    size_t share = 0;
    for (size_t t = 0; t < own.tensor_count; t++) {
        size_t from, to;
        if (comm->rank == scene->odd && strcmp(own.tensors[t].name, scene->tensor) == 0)
            ((unsigned char *)(params + own.tensors[t].offset + own.tensors[t].count / 2))[0] ^= 1;
        dt_holders_share(&holders, t, &from, &to);
        if (from > to || to > own.tensors[t].count)
            abort();
        share += to - from;
    }
    int rc = dt_holders_check(&holders, params, &err);
    pthread_mutex_lock(&scene->lock);
    scene->shared += share;
    scene->most = share > scene->most ? share : scene->most;
    pthread_mutex_unlock(&scene->lock);
    if (comm->rank == 0) {
        scene->result = rc;
        scene->err = err;
    }
    free(params);
    dt_holders_close(&holders);
    dt_layout_fini(&own);
    dt_layout_fini(&layout);
}

static struct scene run_model(const struct dt_model_config *model, struct dt_mesh_sizes sizes,
                              int odd, const char *tensor)
{
    struct scene scene = {.config = model, .sizes = sizes, .odd = odd, .tensor = tensor};
    pthread_mutex_init(&scene.lock, NULL);
    ranks_run(sizes.dp * sizes.fsdp * sizes.ep * sizes.pp * sizes.cp * sizes.tp, body, &scene);
    pthread_mutex_destroy(&scene.lock);
    return scene;
}

static struct scene run(struct dt_mesh_sizes sizes, int odd, const char *tensor)
{
    return run_model(&config, sizes, odd, tensor);
}

#define MESH(DP, FSDP, EP, PP, CP, TP)                                                             \
    ((struct dt_mesh_sizes){                                                                       \
        .dp = (DP), .fsdp = (FSDP), .ep = (EP), .pp = (PP), .cp = (CP), .tp = (TP), .chunks = 1})

static void test_equal(void **state)
{
    (void)state;
    const struct dt_mesh_sizes meshes[] = {MESH(1, 1, 1, 1, 1, 1), MESH(8, 1, 1, 1, 1, 1),
                                           MESH(2, 2, 1, 1, 1, 2), MESH(2, 1, 1, 2, 1, 2),
                                           MESH(1, 1, 1, 4, 2, 1), MESH(1, 2, 2, 1, 1, 2)};
    for (size_t i = 0; i < sizeof meshes / sizeof *meshes; i++) {
        struct scene scene = run(meshes[i], -1, "");
        assert_int_equal(scene.result, 0);
    }
}

/* No two pieces are taken for one. */
static void test_small_pieces(void **state)
{
    (void)state;
    struct dt_layout whole;
    struct dt_error err;
    assert_int_equal(dt_layout_init(&whole, &small, NULL, &err), 0);
    for (int tp = 1; tp <= 8; tp *= 2) {
        struct scene scene = run_model(&small, MESH(1, 8 / tp, 1, 1, 1, tp), -1, "");
        if (scene.result != 0)
            fail_msg("tp %d: %s", tp, scene.err.text);
        assert_int_equal(scene.shared, whole.params);
    }
    dt_layout_fini(&whole);
}

static void assert_says(const struct scene *scene, const char *format, ...)
{
    char expected[256];
    va_list args;
    va_start(args, format);
    vsnprintf(expected, sizeof expected, format, args);
    va_end(args);
    assert_int_equal(scene->result, -1);
    if (!strstr(scene->err.text, expected))
        fail_msg("\"%s\" does not say \"%s\"", scene->err.text, expected);
}

static void test_odd_rank(void **state)
{
    (void)state;
    char host[64] = "";
    gethostname(host, sizeof host - 1);
    for (int odd = 0; odd < 8; odd++) {
        struct scene scene = run(MESH(8, 1, 1, 1, 1, 1), odd, "down.weight");
        assert_says(&scene,
                    "parameters of rank %d on %s differ from what 7 of 8 ranks have (first in "
                    "down.weight of layer 0)",
                    odd, host);
    }
}

/* What is cut has fewer holders, what is not has all of a tensor-parallel group besides. */
static void test_layouts(void **state)
{
    (void)state;
    struct scene scene = run(MESH(4, 1, 1, 1, 1, 2), 3, "up.weight"); /* 1, 3, 5, 7 have it */
    assert_says(&scene, "parameters of rank 3 on ");
    assert_says(&scene, "differ from what 3 of 4 ranks have (first in up.weight of layer 0)");
    scene = run(MESH(4, 1, 1, 1, 1, 2), 3, "norm1.weight");
    assert_says(&scene, "parameters of rank 3 on ");
    assert_says(&scene, "differ from what 7 of 8 ranks have (first in norm1.weight of layer 0)");
    scene = run(MESH(1, 1, 1, 2, 4, 1), 6, "qkv.weight"); /* the second stage: 4 to 7 */
    assert_says(&scene, "parameters of rank 6 on ");
    assert_says(&scene, "differ from what 3 of 4 ranks have (first in qkv.weight of layer 2)");
}

/* With two there is no majority, so both are named. */
static void test_two(void **state)
{
    (void)state;
    struct scene scene = run(MESH(2, 2, 1, 1, 1, 2), 7, "down.weight"); /* 3 has it, too */
    assert_says(&scene, "parameters of rank 3 on ");
    assert_says(&scene, " and of rank 7 on ");
    /* the tied table on the first stage and on the last */
    scene = run(MESH(1, 1, 1, 2, 1, 1), 1, "token.table");
    assert_says(&scene, "(first in token.table)");
}

static void test_shares(void **state)
{
    (void)state;
    struct dt_layout all;
    struct dt_error err;
    assert_int_equal(dt_layout_init(&all, &config, NULL, &err), 0);
    const struct dt_mesh_sizes meshes[] = {MESH(1, 1, 1, 1, 1, 1), MESH(2, 1, 1, 1, 1, 1),
                                           MESH(2, 2, 1, 1, 1, 2), MESH(2, 1, 1, 2, 1, 2),
                                           MESH(2, 2, 2, 1, 1, 1)};
    for (size_t i = 0; i < sizeof meshes / sizeof *meshes; i++)
        assert_int_equal(run(meshes[i], -1, "").shared, all.params);
    /* the table, most of the model, is cut in two for two */
    assert_true(run(meshes[1], -1, "").most < all.params * 3 / 4);
    dt_layout_fini(&all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal),    cmocka_unit_test(test_small_pieces),
        cmocka_unit_test(test_odd_rank), cmocka_unit_test(test_layouts),
        cmocka_unit_test(test_two),      cmocka_unit_test(test_shares),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
