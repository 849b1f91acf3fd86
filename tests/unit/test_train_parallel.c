/* SPDX-License-Identifier: Apache-2.0 */
/* Copies, shards and stages take the steps of one process, in memory as promised; and each fault that
 * is planted in communication or data (mutations) makes them not to. Ranks are threads. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "adamw.h"
#include "parallel.h"
#include "train_faults.h"
#include "train_ranks.h"
#include "train_update.h"

enum { SEQ = 8, BATCH = 8, STEPS = 3, VOCAB = 96, LAYERS = 4, CHANNELS = 16 };

enum fault {
    NONE,
    SKIPPED_SUM,
    SHIFTED_SHARD,
    SAME_DATA,
    LOST_FRACTION,
    SKIPPED_SEND,
    SKIPPED_ENDS, /* of a pipeline: the tied table's gradients */
    SAME_MICRO,   /* a micro-batch twice, and another not at all */
    LOST_ROW,     /* of what the embedding gives a tied table: the first */
    SHIFTED_ROWS, /* by one row */
    FAULTS,
    FAILED_SEND = FAULTS /* this one is told */
};

/* 0 is 1, but for zero. */
struct scene {
    int dp, fsdp, zero, pp, chunks, micros, untied, layers;
    enum dt_recompute recompute;
    enum fault fault;
    real *whole; /* final parameters, by rank 0; freed by the test */
    size_t count, params;
    _Atomic bool apart;   /* the rows of the tied table were sent apart from its sum */
    _Atomic size_t taken; /* reals, of the rank that took most */
    _Atomic int failed;
    struct dt_error error; /* of rank 0, the first */
};

/* One's own come back, not the sum; ranks wait for each other as ever. */
static int skip_sum(struct dt_comm *comm, void *data, size_t count, enum dt_comm_type type,
                    struct dt_error *err)
{
    size_t bytes = count * (type == DT_COMM_REAL ? sizeof(real) : sizeof(double));
    void *own = malloc(bytes);
    memcpy(own, data, bytes);
    int rc = real_operations.sum_start(comm, data, count, type, err);
    if (rc == 0)
        rc = dt_comm_drain(comm, err);
    memcpy(data, own, bytes);
    free(own);
    return rc;
}

static int skip_scatter(struct dt_comm *comm, real *all, real *mine, size_t count,
                        struct dt_error *err)
{
    int rc = real_operations.scatter_start(comm, all, mine, count, err);
    if (rc == 0)
        rc = dt_comm_drain(comm, err);
    memcpy(mine, all + (size_t)comm->rank * count, count * sizeof *mine);
    return rc;
}

static int skip_send(struct dt_comm *comm, struct dt_message *message, const real *data,
                     size_t count, int to, struct dt_error *err)
{
    (void)comm, (void)data, (void)count, (void)to, (void)err;
    message->done = true;
    return 0;
}

static int skip_receive(struct dt_comm *comm, struct dt_message *message, real *data, size_t count,
                        int from, struct dt_error *err)
{
    return skip_send(comm, message, data, count, from, err);
}

static int fail_send(struct dt_comm *comm, struct dt_message *message, const real *data,
                     size_t count, int to, struct dt_error *err)
{
    (void)message, (void)data, (void)count;
    return dt_comm_break(comm, err, "no way to rank %d", to);
}

static int fail_receive(struct dt_comm *comm, struct dt_message *message, real *data, size_t count,
                        int from, struct dt_error *err)
{
    return fail_send(comm, message, data, count, from, err);
}

/* Of rank 0, in the place where the others read it. */
static int lose_row(struct dt_comm *comm, const real *mine, real *all, size_t count,
                    struct dt_error *err)
{
    if (comm->rank == 0)
        memset(all, 0, CHANNELS * sizeof *all);
    return real_operations.gather_start(comm, mine, all, count, err);
}

static int shift_rows(struct dt_comm *comm, const real *mine, real *all, size_t count,
                      struct dt_error *err)
{
    size_t rows = count / (CHANNELS + 1);
    if (comm->rank == 0)
        memmove(all + CHANNELS, all, (rows - 1) * CHANNELS * sizeof *all);
    return real_operations.gather_start(comm, mine, all, count, err);
}

/* What this rank sends goes through these instead. */
static void plant(struct dt_parallel *p, enum fault fault, struct dt_comm_operations *faulty)
{
    bool message = fault == SKIPPED_SEND || fault == FAILED_SEND;
    bool row = fault == LOST_ROW || fault == SHIFTED_ROWS;
    struct dt_comm *comm = message                 ? p->mesh->pipe
                           : row                   ? p->mesh->data
                           : fault == SKIPPED_ENDS ? p->mesh->ends
                           : p->sharded            ? p->mesh->shards
                                                   : p->mesh->replicas[DT_BUCKET_DENSE];
    real_operations = *faulty = *comm->operations;
    if (fault == SKIPPED_SUM || fault == SKIPPED_ENDS) {
        faulty->sum_start = skip_sum;
        faulty->scatter_start = skip_scatter;
    } else if (fault == SKIPPED_SEND) {
        faulty->send_start = skip_send;
        faulty->receive_start = skip_receive;
    } else if (fault == FAILED_SEND) {
        faulty->send_start = fail_send;
        faulty->receive_start = fail_receive;
    } else if (fault == SHIFTED_SHARD) {
        faulty->sum_start = shift_sum;
        faulty->scatter_start = shift_scatter;
    } else if (row) {
        faulty->gather_start = fault == LOST_ROW ? lose_row : shift_rows;
    }
    comm->operations = faulty;
}

static void step(struct dt_parallel *p, struct scene *scene, long number)
{
    int tokens[BATCH * SEQ], targets[BATCH * SEQ];
    const struct dt_mesh *mesh = p->mesh;
    size_t shares = (size_t)dt_mesh_shares(&mesh->sizes), batch = BATCH / shares;
    size_t share = scene->fault == SAME_DATA ? 0 : (size_t)dt_mesh_share(&mesh->sizes, &mesh->at);
    for (size_t i = 0; i < batch * SEQ; i++) {
        size_t at = (size_t)number * BATCH * SEQ + share * batch * SEQ + i;
        tokens[i] = (int)(at * 2654435761u >> 9) % VOCAB;
        targets[i] = (int)((at + 1) * 2654435761u >> 9) % VOCAB;
    }
    size_t micro = batch / (size_t)p->pipe.micros;
    if (scene->fault == SAME_MICRO) {
        memcpy(tokens, tokens + micro * SEQ, micro * SEQ * sizeof *tokens);
        memcpy(targets, targets + micro * SEQ, micro * SEQ * sizeof *targets);
    }
    double scale = 1.0 / (BATCH * SEQ), exposed;
    struct dt_error err;
    if (scene->fault == LOST_FRACTION)
        scale *= (double)mesh->world
                     ->size; /* AdamW hides a factor but for its epsilon, which is large here */
    dt_parallel_learn(p, tokens, targets, micro, scale);
    if (dt_parallel_finish(p, &exposed, &err) < 0) {
        if (mesh->world->rank == 0 && !scene->error.text[0])
            scene->error = err;
        scene->failed = 1;
        return;
    }
    if (train_update(p, number, &err) < 0)
        scene->failed = 1;
}

static void train(struct dt_comm *world, void *context)
{
    struct scene *scene = context;
    struct dt_blas blas;
    struct dt_model model;
    struct dt_parallel p;
    struct dt_error err;
    struct dt_comm_operations faulty;
    const struct dt_model_config config = {.layers = scene->layers,
                                           .channels = CHANNELS,
                                           .heads = 2,
                                           .seq = SEQ,
                                           .vocab = VOCAB,
                                           .untied = scene->untied};
    const struct dt_parallel_setup setup = {.zero = scene->zero,
                                            .micros = scene->micros > 1 ? scene->micros : 1};
    struct dt_mesh_sizes sizes = {
        .dp = scene->dp, .fsdp = scene->fsdp, .pp = scene->pp, .chunks = scene->chunks};
    struct dt_mesh mesh;
    if (dt_blas_open(&blas, DT_BLAS_BUILTIN, 1, &err) < 0 ||
        dt_mesh_fit(&sizes, world->size, &err) < 0 ||
        dt_mesh_open(&mesh, &sizes, world, &err) < 0 ||
        dt_model_init_bare(
            &model, &config,
            &(struct dt_model_setup){.max_batch = BATCH / (size_t)dt_mesh_shares(&sizes) /
                                                  (size_t)setup.micros,
                                     .slots = (size_t)dt_pipe_slots(&mesh, setup.micros),
                                     .recompute = scene->recompute,
                                     .blas = &blas,
                                     .mesh = &mesh},
            &err) < 0 ||
        dt_parallel_open(&p, &mesh, &model, &setup, &err) < 0) {
        scene->failed = 1;
        return;
    }
    dt_parallel_first_values(&p, 7);
    dt_parallel_changed(&p, &err);
    plant(&p, scene->fault, &faulty);
    scene->apart = model.tied != NULL;
    for (long number = 0; number < STEPS; number++)
        step(&p, scene, number);
    struct dt_layout all;
    real *whole;
    if (dt_layout_init(&all, &config, NULL, &err) < 0 ||
        dt_parallel_collect(&p, &all, &whole, &err) < 0)
        scene->failed = 1;
    if (world->rank == 0) {
        scene->whole = whole;
        scene->count = all.total;
        scene->params = model.layout.params;
        scene->taken = p.taken;
    }
    dt_layout_fini(&all);
    dt_parallel_close(&p);
    dt_mesh_close(&mesh);
    dt_model_fini(&model);
    dt_blas_close(&blas);
}

static const struct scene layouts[] = {
    {.dp = 2},
    {.fsdp = 2, .zero = 1},
    {.fsdp = 2, .zero = 2},
    {.fsdp = 2, .zero = 3},
    {.fsdp = 4, .zero = 3},
    {.dp = 2, .fsdp = 2, .zero = 3},
};
enum { LAYOUTS = sizeof layouts / sizeof *layouts };

static const struct scene pipelines[] = {
    {.pp = 2},
    {.pp = 2, .micros = 4},
    {.pp = 4, .micros = 2},
    {.pp = 2, .chunks = 2, .micros = 4},
    {.pp = 2, .micros = 8, .recompute = DT_RECOMPUTE_FULL},
    {.dp = 2, .pp = 4, .micros = 4, .recompute = DT_RECOMPUTE_SELECTIVE},
    {.dp = 2, .pp = 2, .chunks = 2, .micros = 4},
    {.fsdp = 2, .zero = 1, .pp = 2, .micros = 4},
    {.fsdp = 2, .zero = 2, .pp = 2, .micros = 4},
    {.fsdp = 2, .zero = 3, .pp = 2, .chunks = 2, .micros = 2, .recompute = DT_RECOMPUTE_FULL},
    {.dp = 2, .fsdp = 2, .zero = 3, .pp = 2, .micros = 2},
};
enum { PIPELINES = sizeof pipelines / sizeof *pipelines };

static int at_least_one(int size)
{
    return size > 1 ? size : 1;
}

static struct scene run(struct scene scene, int layers, enum fault fault)
{
    scene.layers = layers;
    scene.fault = fault;
    ranks_run(at_least_one(scene.dp) * at_least_one(scene.fsdp) * at_least_one(scene.pp), train,
              &scene);
    assert_int_equal(scene.failed, 0);
    return scene;
}

static double distance(const struct scene *a, const struct scene *b)
{
    double far = 0;
    assert_int_equal(a->count, b->count);
    for (size_t i = 0; i < a->count; i++)
        far = fmax(far, fabs((double)a->whole[i] - (double)b->whole[i]));
    return far;
}

static void check_layouts(const struct scene *scenes, size_t count, int untied)
{
    struct scene one = run((struct scene){.untied = untied}, LAYERS, NONE);
    for (size_t i = 0; i < count; i++) {
        struct scene scene = scenes[i];
        scene.untied = untied;
        struct scene many = run(scene, LAYERS, NONE);
        double far = distance(&one, &many);
        if (far >= 1e-5)
            fail_msg("layout %zu is %g away", i, far);
        free(many.whole);
    }
    free(one.whole);
}

static void test_layouts(void **state)
{
    (void)state;
    check_layouts(layouts, LAYOUTS, 0);
}

/* Two shards end with the bits of two copies; of a tied table, too, whose rows come apart from its sum
 * and are cut by the shards in the middle. */
static void test_same_bits(void **state)
{
    (void)state;
    for (int untied = 0; untied < 2; untied++) {
        struct scene copies = run((struct scene){.dp = 2, .untied = untied}, LAYERS, NONE);
        assert_int_equal(copies.apart, !untied);
        for (int zero = 1; zero <= 3; zero++) {
            struct scene shards =
                run((struct scene){.fsdp = 2, .zero = zero, .untied = untied}, LAYERS, NONE);
            assert_int_equal(shards.apart, !untied);
            assert_memory_equal(shards.whole, copies.whole, copies.count * sizeof *copies.whole);
            free(shards.whole);
        }
        free(copies.whole);
    }
}

static void test_pipelines(void **state)
{
    (void)state;
    check_layouts(pipelines, PIPELINES, 0);
    check_layouts(pipelines, PIPELINES, 1);
}

/* Is there anything that the fault could break? */
static bool can_fail(const struct scene *scene, enum fault fault)
{
    bool shared = at_least_one(scene->dp) * at_least_one(scene->fsdp) > 1;
    if (fault == SKIPPED_SEND || fault == SKIPPED_ENDS)
        return scene->pp > 1;
    if (fault == LOST_ROW || fault == SHIFTED_ROWS)
        return scene->pp <= 1;
    if (fault == SAME_MICRO)
        return scene->micros > 1;
    return shared || (fault == LOST_FRACTION && scene->pp > 1);
}

static int check_mutations(const struct scene *scenes, size_t count)
{
    struct scene one = run((struct scene){0}, LAYERS, NONE);
    int planted = 0;
    for (size_t i = 0; i < count; i++) {
        for (enum fault fault = NONE + 1; fault < FAULTS; fault++) {
            if (!can_fail(&scenes[i], fault))
                continue;
            struct scene many = run(scenes[i], LAYERS, fault);
            double far = distance(&one, &many);
            if (far < 1e-4)
                fail_msg("fault %d in layout %zu moves nothing by more than %g", (int)fault, i,
                         far);
            free(many.whole);
            planted++;
        }
    }
    free(one.whole);
    return planted;
}

static void test_mutations(void **state)
{
    (void)state;
    assert_int_equal(check_mutations(layouts, LAYOUTS), 6 * LAYOUTS);
    assert_true(check_mutations(pipelines, PIPELINES) > 5 * PIPELINES);
}

/* A message that fails: the step's end tells, and that others may wait. */
static void test_failure(void **state)
{
    (void)state;
    struct scene scene = {.pp = 2, .micros = 4, .layers = LAYERS, .fault = FAILED_SEND};
    ranks_run(2, train, &scene);
    assert_int_equal(scene.failed, 1);
    assert_string_equal(scene.error.text, "no way to rank 1");
    free(scene.whole);
}

/* 16 bytes a parameter over N, and 1.1 times that with all that is whole at zero 3. */
static void test_memory(void **state)
{
    (void)state;
    for (size_t i = 0; i < LAYOUTS; i++) {
        struct scene s = run(layouts[i], 60, NONE);
        double share = 4.0 * (double)s.params / at_least_one(s.fsdp);
        double whole = s.zero == 1 ? 2.0 * (double)s.params : s.zero == 2 ? (double)s.params : 0;
        double room = s.fsdp == 4 ? 1.2 : 1.1; /* two layers of 60 weigh more beside a quarter */
        assert_true((double)s.taken >= share + whole);
        assert_true((double)s.taken <= room * share + whole);
        free(s.whole);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layouts),   cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_pipelines), cmocka_unit_test(test_mutations),
        cmocka_unit_test(test_failure),   cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
