/* SPDX-License-Identifier: Apache-2.0 */
/* Every dimension of the mesh, and many of them together, take the steps of one process: in double,
 * where nothing but a fault makes more than 1e-12 of difference. Ranks are threads. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

#include "adamw.h"
#include "parallel.h"
#include "train_faults.h"
#include "train_ranks.h"
#include "train_update.h"

/* Steps: a few, as ranks that wait for each other take as long as others let them. */
enum { SEQ = 16, BATCH = 8, STEPS = 4, VOCAB = 131, EXPERTS_MOST = 4 };

enum fault {
    NONE,
    SAME_PLACES, /* cp: two ranks with the same positions */
    LOST_HOP,
    SKIPPED_SUM, /* tp: a part of a product is taken for the sum */
    SHIFTED_SUM, /* by one real */
    LOST_ROWS,   /* what others gathered: rows of --sp, or what they know of the loss */
    LOST_NORM,   /* gradients of norms are those of the rows here */
    LATE_RANK,   /* the second of a group comes late in each step, which changes no number */
    FAULTS
};

struct scene {
    struct dt_mesh_sizes sizes;
    int zero;
    size_t micro; /* micro-batches of a step */
    enum dt_recompute recompute;
    bool llama;
    int experts;
    enum fault fault;
    real *whole; /* final parameters, by rank 0; owned by the test */
    size_t count;
    double loss, squares; /* of the last step, by rank 0 */
    double exposed[2];    /* of all steps, by the first two ranks */
    _Atomic int failed;
};

static struct dt_model_config config_of(const struct scene *scene)
{
    return (struct dt_model_config){.layers = 4,
                                    .channels = 16,
                                    .heads = 8,
                                    .kv_heads = scene->llama ? 4 : 8,
                                    .hidden = 24,
                                    .seq = SEQ,
                                    .vocab = VOCAB,
                                    .untied = scene->llama,
                                    .experts = scene->experts,
                                    .experts_balance = 0.1,
                                    .family = scene->llama ? DT_FAMILY_LLAMA : DT_FAMILY_GPT2};
}

static int token_at(size_t step, size_t sample, size_t place)
{
    size_t at = (step * BATCH + sample) * SEQ + place;
    return (int)(at * 2654435761u >> 9) % VOCAB;
}

/* Of this rank's share of a step, the rows that are here. */
static void read_rows(const struct scene *scene, const struct dt_model *model,
                      const struct dt_mesh *mesh, size_t step, int *tokens, int *targets)
{
    size_t share = (size_t)dt_mesh_share(&mesh->sizes, &mesh->at);
    size_t batch = BATCH / (size_t)dt_mesh_shares(&mesh->sizes);
    for (size_t i = 0; i < batch * model->time; i++) {
        size_t sample = share * batch + i / model->time;
        size_t place = scene->fault == SAME_PLACES
                           ? dt_ring_place(0, mesh->context->size, model->time, i % model->time)
                           : model->places[i % model->time];
        tokens[i] = token_at(step, sample, place);
        targets[i] = token_at(step, sample, place + 1);
    }
}

enum { LATE_MS = 25 };
static _Thread_local bool late; /* has not been so in this step */

static void one_step(struct dt_parallel *p, struct scene *scene, size_t number)
{
    int tokens[BATCH * SEQ], targets[BATCH * SEQ];
    double exposed, loss, squares;
    struct dt_error err;
    read_rows(scene, p->model, p->mesh, number, tokens, targets);
    late = p->world->rank == 1;
    loss = dt_parallel_learn(p, tokens, targets, p->model->max_batch, 1.0 / (BATCH * SEQ));
    if (dt_parallel_finish(p, &exposed, &err) < 0 ||
        dt_comm_sum(p->world, &loss, 1, DT_COMM_DOUBLE, &err) < 0 ||
        dt_parallel_squares(p, &squares, &err) < 0)
        scene->failed = 1;
    if (p->world->rank < 2)
        scene->exposed[p->world->rank] += exposed;
    if (p->world->rank == 0) {
        scene->loss = loss;
        scene->squares = squares;
    }
    if (train_update(p, (long)number, &err) < 0)
        scene->failed = 1;
}

static int lose_message(struct dt_comm *comm, struct dt_message *message, const real *data,
                        size_t count, int to, struct dt_error *err)
{
    (void)comm, (void)data, (void)count, (void)to, (void)err;
    *message = (struct dt_message){.done = true};
    return 0;
}

static int get_nothing(struct dt_comm *comm, struct dt_message *message, real *data, size_t count,
                       int from, struct dt_error *err)
{
    (void)comm, (void)data, (void)count, (void)from, (void)err;
    *message = (struct dt_message){.done = true};
    return 0;
}

/* Ends when the real operation would, so that nobody waits. */
static int do_nothing(struct dt_comm *comm, struct dt_error *err)
{
    static _Thread_local double nothing;
    return real_operations.sum_start(comm, &nothing, 1, DT_COMM_DOUBLE, err);
}

static int skip_sum(struct dt_comm *comm, void *data, size_t count, enum dt_comm_type type,
                    struct dt_error *err)
{
    (void)data, (void)count, (void)type;
    return do_nothing(comm, err);
}

static int skip_scatter(struct dt_comm *comm, real *all, real *mine, size_t count,
                        struct dt_error *err)
{
    memmove(mine, all + (size_t)comm->rank * count, count * sizeof *mine);
    return do_nothing(comm, err);
}

static int lose_rows(struct dt_comm *comm, const real *mine, real *all, size_t count,
                     struct dt_error *err)
{
    for (int r = 0; r < comm->size; r++)
        memmove(all + (size_t)r * count, mine, count * sizeof *all);
    return do_nothing(comm, err);
}

static void be_late(void)
{
    if (late)
        nanosleep(&(struct timespec){.tv_nsec = LATE_MS * 1000000L}, NULL);
    late = false;
}

static int late_sum(struct dt_comm *comm, void *data, size_t count, enum dt_comm_type type,
                    struct dt_error *err)
{
    be_late();
    return real_operations.sum_start(comm, data, count, type, err);
}

static int late_scatter(struct dt_comm *comm, real *all, real *mine, size_t count,
                        struct dt_error *err)
{
    be_late();
    return real_operations.scatter_start(comm, all, mine, count, err);
}

static int late_runs(struct dt_comm *comm, const real *all, const size_t *send, real *mine,
                     const size_t *receive, size_t most, struct dt_error *err)
{
    be_late();
    return real_operations.all_to_all_start(comm, all, send, mine, receive, most, err);
}

static int late_message(struct dt_comm *comm, struct dt_message *message, const real *data,
                        size_t count, int to, struct dt_error *err)
{
    be_late();
    return real_operations.send_start(comm, message, data, count, to, err);
}

/* The group that has several ranks: in tests of faults there is one at most. */
static struct dt_comm *group_of(const struct dt_mesh *mesh)
{
    struct dt_comm *const groups[] = {mesh->tensor, mesh->context, mesh->experts,
                                      mesh->pipe,   mesh->shards,  mesh->replicas[DT_BUCKET_DENSE]};
    size_t i = 0;
    while (i + 1 < sizeof groups / sizeof *groups && groups[i]->size == 1)
        i++;
    return groups[i];
}

static void plant(const struct scene *scene, struct dt_comm *group,
                  struct dt_comm_operations *faulty)
{
    real_operations = *faulty = *group->operations;
    if (scene->fault == LOST_HOP) {
        faulty->send_start = lose_message;
        faulty->receive_start = get_nothing;
    } else if (scene->fault == SKIPPED_SUM) {
        faulty->sum_start = skip_sum;
        faulty->scatter_start = skip_scatter;
    } else if (scene->fault == SHIFTED_SUM) {
        faulty->sum_start = shift_sum;
        faulty->scatter_start = shift_scatter;
    } else if (scene->fault == LOST_ROWS) {
        faulty->gather_start = lose_rows;
    } else if (scene->fault == LOST_NORM) {
        faulty->sum_start = skip_sum; /* with --sp the only ones that are not scattered */
    } else if (scene->fault == LATE_RANK) {
        faulty->sum_start = late_sum;
        faulty->scatter_start = late_scatter;
        faulty->all_to_all_start = late_runs;
        faulty->send_start = late_message;
    }
    group->operations = faulty;
}

static void keep_whole(struct dt_parallel *p, struct scene *scene)
{
    struct dt_layout all;
    real *whole;
    struct dt_error err;
    if (dt_layout_init(&all, &p->model->config, NULL, &err) < 0 ||
        dt_parallel_collect(p, &all, &whole, &err) < 0)
        scene->failed = 1;
    if (p->world->rank == 0) {
        scene->whole = whole;
        scene->count = all.total;
    }
    dt_layout_fini(&all);
}

static void train(struct dt_comm *world, void *context)
{
    struct scene *scene = context;
    struct dt_blas blas;
    struct dt_model model;
    struct dt_mesh mesh;
    struct dt_parallel p;
    struct dt_error err;
    struct dt_comm_operations faulty;
    const struct dt_model_config config = config_of(scene);
    struct dt_mesh_sizes sizes = scene->sizes;
    if (dt_blas_open(&blas, DT_BLAS_BUILTIN, 1, &err) < 0 ||
        dt_mesh_fit(&sizes, world->size, &err) < 0 ||
        dt_mesh_open(&mesh, &sizes, world, &err) < 0 ||
        dt_model_init_bare(&model, &config,
                           &(struct dt_model_setup){
                               .max_batch = BATCH / (size_t)dt_mesh_shares(&sizes) / scene->micro,
                               .slots = (size_t)dt_pipe_slots(&mesh, (int)scene->micro),
                               .recompute = scene->recompute,
                               .blas = &blas,
                               .mesh = &mesh},
                           &err) < 0 ||
        dt_parallel_open(
            &p, &mesh, &model,
            &(struct dt_parallel_setup){.zero = scene->zero, .micros = (int)scene->micro},
            &err) < 0) {
        scene->failed = 1;
        return;
    }
    dt_parallel_first_values(&p, 7);
    dt_parallel_changed(&p, &err);
    struct dt_comm *group = group_of(&mesh);
    const struct dt_comm_operations *before = group->operations;
    if (scene->fault)
        plant(scene, group, &faulty);
    for (size_t number = 0; number < STEPS; number++)
        one_step(&p, scene, number);
    group->operations = before;
    keep_whole(&p, scene);
    dt_parallel_close(&p);
    dt_mesh_close(&mesh);
    dt_model_fini(&model);
    dt_blas_close(&blas);
}

static int ranks_of(const struct dt_mesh_sizes *s)
{
    const int sizes[] = {s->dp, s->fsdp, s->ep, s->pp, s->cp, s->tp};
    int product = 1;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        product *= sizes[i] > 0 ? sizes[i] : 1;
    return product;
}

static struct scene run(struct scene scene)
{
    scene.micro = scene.micro > 0 ? scene.micro : 1;
    ranks_run(ranks_of(&scene.sizes), train, &scene);
    assert_int_equal(scene.failed, 0);
    return scene;
}

/* What one process makes of it: depends on the model alone, so it is run once for each. */
static const struct scene *run_alone(const struct scene *layout)
{
    static struct scene known[2][EXPERTS_MOST + 1];
    struct scene *one = &known[layout->llama][layout->experts];
    if (!one->whole)
        *one = run((struct scene){.llama = layout->llama, .experts = layout->experts});
    return one;
}

/* The largest difference of a final parameter from that of one process, of the loss and of the length
 * of the gradient, these two relative. */
static double distance(const struct scene *layout)
{
    const struct scene *one = run_alone(layout);
    struct scene many = run(*layout);
    double far = fmax(fabs(one->loss / many.loss - 1), fabs(one->squares / many.squares - 1));
    assert_int_equal(one->count, many.count);
    for (size_t i = 0; i < one->count; i++)
        far = fmax(far, fabs(one->whole[i] - many.whole[i]));
    free(many.whole);
    return far;
}

static const struct scene layouts[] = {
    {.sizes = {.dp = 2}, .micro = 2},
    {.sizes = {.fsdp = 2}, .zero = 3, .micro = 2},
    {.sizes = {.cp = 2}},
    {.sizes = {.cp = 4}, .micro = 2},
    {.sizes = {.dp = 2, .cp = 2}, .micro = 2},
    {.sizes = {.fsdp = 2, .cp = 2}, .zero = 3, .micro = 2},
    {.sizes = {.fsdp = 2, .cp = 2}, .zero = 2},
    {.sizes = {.dp = 2, .fsdp = 2, .cp = 2}, .zero = 3},
    {.sizes = {.pp = 2}, .micro = 4},
    {.sizes = {.pp = 4}, .micro = 2, .recompute = DT_RECOMPUTE_SELECTIVE},
    {.sizes = {.pp = 2, .chunks = 2}, .micro = 4, .recompute = DT_RECOMPUTE_FULL},
    {.sizes = {.dp = 2, .pp = 2, .cp = 2}, .micro = 2},
    {.sizes = {.fsdp = 2, .pp = 2, .chunks = 2}, .zero = 3, .micro = 4},
    {.sizes = {.fsdp = 2, .pp = 2, .cp = 2}, .zero = 1, .micro = 4, .recompute = DT_RECOMPUTE_FULL},
    {.sizes = {.tp = 2}},
    {.sizes = {.tp = 4}, .micro = 2},
    {.sizes = {.tp = 2, .sp = true}},
    {.sizes = {.tp = 4, .sp = true}, .micro = 2},
    {.sizes = {.dp = 2, .tp = 2}, .micro = 2},
    {.sizes = {.dp = 2, .tp = 2, .sp = true}, .micro = 4},
    {.sizes = {.fsdp = 2, .tp = 2}, .zero = 1},
    {.sizes = {.fsdp = 2, .tp = 2, .sp = true}, .zero = 2},
    {.sizes = {.fsdp = 2, .tp = 2, .sp = true}, .zero = 3, .micro = 2},
    {.sizes = {.fsdp = 2, .tp = 4}, .zero = 3},
    {.sizes = {.dp = 2, .fsdp = 2, .tp = 2, .sp = true}, .zero = 3},
    {.sizes = {.cp = 2, .tp = 2}},
    {.sizes = {.cp = 2, .tp = 2, .sp = true}, .micro = 2},
    {.sizes = {.fsdp = 2, .cp = 2, .tp = 2, .sp = true}, .zero = 3, .micro = 2},
    {.sizes = {.tp = 2, .sp = true}, .recompute = DT_RECOMPUTE_FULL},
    {.sizes = {.tp = 2}, .micro = 2, .recompute = DT_RECOMPUTE_SELECTIVE},
    {.sizes = {.pp = 2, .tp = 2}, .micro = 4},
    {.sizes = {.pp = 2, .tp = 2, .sp = true}, .micro = 4, .recompute = DT_RECOMPUTE_FULL},
    {.sizes = {.pp = 2, .tp = 2, .sp = true, .chunks = 2}, .micro = 2},
    {.sizes = {.fsdp = 2, .pp = 2, .tp = 2, .sp = true}, .zero = 3, .micro = 2},
    {.sizes = {.pp = 2, .cp = 2, .tp = 2, .sp = true}, .micro = 2},
    {.sizes = {.dp = 2}, .micro = 2, .experts = 4},
    {.sizes = {.fsdp = 2}, .zero = 3, .micro = 2, .experts = 4},
    {.sizes = {.fsdp = 2}, .zero = 2, .experts = 3},
    {.sizes = {.ep = 2}, .experts = 4},
    {.sizes = {.ep = 4}, .micro = 2, .experts = 4},
    {.sizes = {.ep = 2, .cp = 2}, .micro = 2, .experts = 4},
    {.sizes = {.ep = 2, .tp = 2}, .experts = 4},
    {.sizes = {.ep = 2, .tp = 2, .sp = true}, .micro = 2, .experts = 4},
    {.sizes = {.dp = 2, .ep = 2}, .micro = 2, .experts = 4, .recompute = DT_RECOMPUTE_FULL},
    {.sizes = {.fsdp = 2, .ep = 2}, .zero = 3, .micro = 2, .experts = 4},
    {.sizes = {.ep = 2, .cp = 2, .tp = 2}, .experts = 4, .recompute = DT_RECOMPUTE_SELECTIVE},
    {.sizes = {.fsdp = 2, .ep = 2, .cp = 2}, .zero = 1, .experts = 4},
    {.sizes = {.fsdp = 2, .ep = 2, .tp = 2}, .zero = 3, .micro = 2, .experts = 4},
    {.sizes = {.pp = 2, .ep = 2}, .micro = 2, .experts = 4},
    {.sizes = {.pp = 2, .ep = 2, .chunks = 2}, .micro = 2, .experts = 4},
    {.sizes = {.fsdp = 2, .pp = 2, .ep = 2}, .zero = 3, .micro = 2, .experts = 4},
    {.sizes = {.cp = 2, .tp = 2, .sp = true}, .micro = 2, .recompute = DT_RECOMPUTE_FULL},
};

static void test_layouts(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++) {
        for (int llama = 0; llama < 2; llama++) {
            struct scene layout = layouts[i];
            layout.llama = llama;
            double far = distance(&layout);
            if (!(far < 1e-12))
                fail_msg("layout %zu, family %s: %g away", i, dt_family_name(llama), far);
        }
    }
}

static void test_mutations(void **state)
{
    (void)state;
    static const struct scene faults[] = {
        {.sizes = {.cp = 2}, .fault = SAME_PLACES},
        {.sizes = {.cp = 2}, .fault = LOST_HOP},
        {.sizes = {.tp = 2}, .fault = SKIPPED_SUM},
        {.sizes = {.tp = 2}, .fault = SHIFTED_SUM},
        {.sizes = {.tp = 2}, .fault = LOST_ROWS},
        {.sizes = {.tp = 2, .sp = true}, .fault = SKIPPED_SUM},
        {.sizes = {.tp = 2, .sp = true}, .fault = SHIFTED_SUM},
        {.sizes = {.tp = 2, .sp = true}, .fault = LOST_ROWS},
        {.sizes = {.tp = 2, .sp = true}, .fault = LOST_NORM},
    };
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        double far = distance(&faults[i]);
        if (!(far > 1e-6))
            fail_msg("fault %d in row %zu moves nothing by more than %g", (int)faults[i].fault, i,
                     far);
    }
}

/* What a rank waits for another in any of the dimensions is told as exposed communication, and what that
 * one does meanwhile is not. A rank that was late itself for lack of a core waits less: then again. */
static void test_exposed(void **state)
{
    (void)state;
    static const struct scene scenes[] = {
        {.sizes = {.dp = 2}},
        {.sizes = {.fsdp = 2}, .zero = 3},
        {.sizes = {.pp = 2}, .micro = 2},
        {.sizes = {.cp = 2}},
        {.sizes = {.tp = 2}},
        {.sizes = {.ep = 2}, .experts = 4},
    };
    const double wanted = 0.5e-3 * LATE_MS * STEPS;
    for (size_t i = 0; i < sizeof scenes / sizeof *scenes; i++) {
        double waited = 0;
        for (int attempt = 0; attempt < 10 && waited < wanted; attempt++) {
            struct scene scene = scenes[i];
            scene.fault = LATE_RANK;
            scene = run(scene);
            waited = scene.exposed[0] - scene.exposed[1];
            free(scene.whole);
        }
        if (waited < wanted)
            fail_msg("row %zu: %g s waited, where one of two ranks was %g s late", i, waited,
                     2 * wanted);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layouts),
        cmocka_unit_test(test_mutations),
        cmocka_unit_test(test_exposed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
