/* SPDX-License-Identifier: Apache-2.0 */
/* What the ranks of each dimension say to each other in a step is as much as the books say, and no more: a second gather, or a
 * sum of what is a sum already, may change no loss. Ranks are threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "adamw.h"
#include "parallel.h"
#include "train_ranks.h"
#include "train_record.h"

enum { SEQ = 16, BATCH = 8, LAYERS = 4, CHANNELS = 16, HEADS = 8, KV_HEADS = 4, VOCAB = 40 };
enum { TOKENS = BATCH * SEQ, STREAM = TOKENS * CHANNELS, CHOICES = 2 /* experts a token */ };

enum { LINES = 2 * DT_ALIGN / sizeof(real) }; /* two shares of whole cache lines, in reals */

enum group { TENSOR, CONTEXT, PIPE, EXPERTS, SHARDS, REPLICAS, GROUPS };

struct scene {
    struct dt_mesh_sizes sizes;
    int zero, micros, experts;
    bool again;                 /* one sum too many, of one real, in each group */
    struct record said[GROUPS]; /* by rank 0, in a step */
    size_t outer, layer;        /* reals of the buckets outside the layers, and of a layer's */
    size_t in_shares;           /* of all of them, as two equal shares each */
    _Atomic size_t exchanged;   /* by all ranks: who gets how much is up to the router */
    _Atomic int failed;
};

static void one_step(struct dt_parallel *p, struct scene *scene, long number)
{
    int tokens[TOKENS], targets[TOKENS];
    double exposed;
    struct dt_error err;
    for (size_t i = 0; i < TOKENS; i++) {
        tokens[i] = (int)(i * 7 % VOCAB);
        targets[i] = (int)(i * 11 % VOCAB);
    }
    const struct dt_adamw adamw = {
        .rate = 1e-2, .beta1 = 0.9, .beta2 = 0.95, .epsilon = 1e-2, .scale = 1, .step = number};
    dt_parallel_learn(p, tokens, targets, p->model->max_batch, 1.0 / TOKENS);
    if (dt_parallel_finish(p, &exposed, &err) < 0 || dt_parallel_update(p, &adamw, &err) < 0)
        scene->failed = 1;
}

/* What the first step begins the second need not. */
static void record_second(struct dt_parallel *p, struct scene *scene)
{
    struct dt_mesh *mesh = (struct dt_mesh *)p->mesh;
    struct dt_comm *groups[GROUPS] = {
        [TENSOR] = mesh->tensor,   [CONTEXT] = mesh->context, [PIPE] = mesh->pipe,
        [EXPERTS] = mesh->experts, [SHARDS] = mesh->shards,   [REPLICAS] = mesh->replicas[0]};
    struct record records[GROUPS];
    real one = 1;
    struct dt_error err;
    one_step(p, scene, 1);
    for (int g = 0; g < GROUPS; g++)
        record_begin(&records[g], groups[g]);
    one_step(p, scene, 2);
    for (int g = 0; scene->again && g < GROUPS; g++)
        dt_comm_sum(groups[g], &one, 1, DT_COMM_REAL, &err);
    for (int g = GROUPS - 1; g >= 0; g--)
        record_end(&records[g], groups[g]);
    scene->exchanged += records[EXPERTS].count[RECORD_EXCHANGE];
    if (p->world->rank == 0)
        memcpy(scene->said, records, sizeof records);
}

static void train(struct dt_comm *world, void *context)
{
    struct scene *scene = context;
    struct dt_blas blas;
    struct dt_model model;
    struct dt_mesh mesh;
    struct dt_parallel p;
    struct dt_error err;
    struct dt_mesh_sizes sizes = scene->sizes;
    const struct dt_model_config config = {.layers = LAYERS,
                                           .channels = CHANNELS,
                                           .heads = HEADS,
                                           .kv_heads = KV_HEADS,
                                           .hidden = 24,
                                           .seq = SEQ,
                                           .vocab = VOCAB,
                                           .untied = true,
                                           .experts = scene->experts,
                                           .experts_per_token = scene->experts ? CHOICES : 0,
                                           .family = DT_FAMILY_LLAMA};
    if (dt_blas_open(&blas, DT_BLAS_BUILTIN, 1, &err) < 0 ||
        dt_mesh_fit(&sizes, world->size, &err) < 0 ||
        dt_mesh_open(&mesh, &sizes, world, &err) < 0 ||
        dt_model_init_bare(
            &model, &config,
            &(struct dt_model_setup){.max_batch =
                                         (size_t)(BATCH / dt_mesh_shares(&sizes) / scene->micros),
                                     .slots = (size_t)dt_pipe_slots(&mesh, scene->micros),
                                     .blas = &blas,
                                     .mesh = &mesh},
            &err) < 0 ||
        dt_parallel_open(&p, &mesh, &model,
                         &(struct dt_parallel_setup){.zero = scene->zero, .micros = scene->micros},
                         &err) < 0) {
        scene->failed = 1;
        return;
    }
    dt_parallel_first_values(&p, 7);
    dt_parallel_changed(&p, &err);
    record_second(&p, scene);
    if (world->rank == 0) {
        const struct dt_layout *layout = &model.layout;
        scene->layer = layout->buckets[layout->first_layer_bucket].count;
        for (size_t b = 0; b < layout->bucket_count; b++) {
            size_t count = layout->buckets[b].count;
            scene->outer += count == scene->layer ? 0 : count;
            scene->in_shares += (count + LINES - 1) / LINES * LINES;
        }
    }
    dt_parallel_close(&p);
    dt_mesh_close(&mesh);
    dt_model_fini(&model);
    dt_blas_close(&blas);
}

static struct scene run(struct scene scene)
{
    const struct dt_mesh_sizes *s = &scene.sizes;
    const int sizes[] = {s->dp, s->fsdp, s->ep, s->pp, s->cp, s->tp};
    int ranks = 1;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        ranks *= sizes[i] > 0 ? sizes[i] : 1;
    scene.micros = scene.micros > 0 ? scene.micros : 1;
    ranks_run(ranks, train, &scene);
    assert_int_equal(scene.failed, 0);
    return scene;
}

static void assert_said(const struct scene *scene, enum group group, enum record_kind kind,
                        size_t calls, size_t count)
{
    assert_int_equal(scene->said[group].calls[kind], calls);
    assert_int_equal(scene->said[group].count[kind], count);
}

static void assert_silent(const struct scene *scene, enum group group)
{
    for (int kind = 0; kind < RECORD_KINDS; kind++)
        assert_said(scene, group, (enum record_kind)kind, 0, 0);
}

/* Each gradient once a step, however many micro-batches. */
static void test_copies(void **state)
{
    (void)state;
    for (int micros = 1; micros <= 4; micros *= 4) {
        struct scene s = run((struct scene){.sizes = {.dp = 2}, .micros = micros});
        assert_said(&s, REPLICAS, RECORD_SUM, LAYERS + 2, s.outer + LAYERS * s.layer);
        for (enum group group = 0; group < REPLICAS; group++)
            assert_silent(&s, group);
    }
}

static void test_shards(void **state)
{
    (void)state;
    for (int zero = 1; zero <= 3; zero++) {
        for (int micros = 1; micros <= 2; micros++) {
            struct scene s =
                run((struct scene){.sizes = {.fsdp = 2}, .zero = zero, .micros = micros});
            size_t times = zero > 1 ? (size_t)micros : 1, buckets = LAYERS + 2;
            assert_said(&s, SHARDS, RECORD_SCATTER, times * buckets, times * s.in_shares);
            /* Zero 3 has room for two layers: those of the turn of a pass into the next are there. */
            size_t layers = zero == 3 ? (size_t)micros * 2 * (LAYERS - 2) + 2 : LAYERS;
            assert_said(&s, SHARDS, RECORD_GATHER, layers + 2,
                        s.in_shares + (layers - LAYERS) * s.layer);
            assert_silent(&s, REPLICAS);
        }
    }
}

/* Four sums a layer, one of the embedding and one of the head's backward; of the loss three numbers a row. With --sp the
 * rows are gathered before each product, and once more for the gradient of its weights; only norms are summed. */
static void test_products(void **state)
{
    (void)state;
    for (size_t tp = 2; tp <= 4; tp *= 2) {
        struct scene s = run((struct scene){.sizes = {.tp = (int)tp}});
        size_t sums = 4 * LAYERS + 2, gathers = 6 * LAYERS + 2, loss = 3 * tp * TOKENS;
        assert_said(&s, TENSOR, RECORD_SUM, sums, sums * STREAM);
        assert_said(&s, TENSOR, RECORD_GATHER, 1, loss);
        assert_said(&s, TENSOR, RECORD_SCATTER, 0, 0);
        s = run((struct scene){.sizes = {.tp = (int)tp, .sp = true}});
        assert_said(&s, TENSOR, RECORD_SUM, 2 * LAYERS + 1, (2 * LAYERS + 1) * CHANNELS);
        assert_said(&s, TENSOR, RECORD_SCATTER, sums, sums * STREAM);
        assert_said(&s, TENSOR, RECORD_GATHER, gathers + 1, gathers * STREAM + loss);
    }
}

/* Keys and values go round once forward and once backward, where their gradients go home behind them. */
static void test_ring(void **state)
{
    (void)state;
    for (size_t cp = 2; cp <= 4; cp *= 2) {
        struct scene s = run((struct scene){.sizes = {.cp = (int)cp}});
        size_t sends = LAYERS * ((cp - 1) + (cp - 1) + cp);
        size_t block = TOKENS / cp * 2 * KV_HEADS * (CHANNELS / HEADS);
        assert_said(&s, CONTEXT, RECORD_SEND, sends, sends * block);
        assert_said(&s, REPLICAS, RECORD_SUM, LAYERS + 2, s.outer + LAYERS * s.layer);
    }
}

static void test_stages(void **state)
{
    (void)state;
    for (int pp = 2; pp <= 4; pp *= 2) {
        struct scene s = run((struct scene){.sizes = {.pp = pp}, .micros = 4});
        assert_said(&s, PIPE, RECORD_SEND, 4, STREAM); /* the first stage sends forward only */
    }
    struct scene s = run((struct scene){.sizes = {.pp = 2, .chunks = 2}, .micros = 4});
    assert_said(&s, PIPE, RECORD_SEND, 8, 2 * STREAM);
}

/* To the experts and back, forward and backward: of each token a row for each expert that it chose. */
static void test_experts(void **state)
{
    (void)state;
    struct scene s = run((struct scene){.sizes = {.ep = 2}, .experts = 4});
    assert_int_equal(s.said[EXPERTS].calls[RECORD_EXCHANGE], 4 * LAYERS);
    assert_int_equal(s.exchanged, 4 * LAYERS * CHOICES * STREAM);
}

/* What is said too much is seen. */
static void test_too_much(void **state)
{
    (void)state;
    struct scene s = run((struct scene){.sizes = {.dp = 2, .tp = 2}, .again = true});
    struct scene plain = run((struct scene){.sizes = {.dp = 2, .tp = 2}});
    const enum group both[] = {TENSOR, REPLICAS};
    for (size_t i = 0; i < 2; i++)
        assert_said(&s, both[i], RECORD_SUM, plain.said[both[i]].calls[RECORD_SUM] + 1,
                    plain.said[both[i]].count[RECORD_SUM] + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_copies),   cmocka_unit_test(test_shards),
        cmocka_unit_test(test_products), cmocka_unit_test(test_ring),
        cmocka_unit_test(test_stages),   cmocka_unit_test(test_experts),
        cmocka_unit_test(test_too_much),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
