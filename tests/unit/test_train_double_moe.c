/* SPDX-License-Identifier: Apache-2.0 */
/* Mixture of experts: gradients against central differences, in double; experts, rows and widths
 * shared out over ranks (threads) against one process; and faults planted in the way of the rows. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "moe.h"
#include "reals.h"
#include "rng.h"
#include "train_ranks.h"

enum { EXPERTS = 4, CHOSEN = 2, CHANNELS = 6, HIDDEN = 8, SEQUENCES = 4, TIME = 8 };
enum { ROWS = SEQUENCES * TIME, STREAM = ROWS * CHANNELS };
static const double scale = 0.3;

/* Everything of one layer, whole. */
struct layer {
    struct dt_moe_shape shape;
    struct dt_moe_weights w;
    real *in, *slope, *out, *d_in;
    struct dt_moe_weights g;
    double loss;
};

static real *make(size_t count, unsigned stream)
{
    real *values = dt_reals(count);
    dt_rng_fill(values, 0, count, 0.7, 7, stream);
    return values;
}

static size_t wide_of(const struct dt_moe_shape *s)
{
    return s->hidden * (s->gated ? 2 : 1);
}

static struct dt_moe_weights make_weights(const struct dt_moe_shape *s, unsigned stream)
{
    size_t wide = wide_of(s);
    return (struct dt_moe_weights){
        .router = make(s->experts * CHANNELS, stream),
        .up_weight = make(s->own * wide * CHANNELS, stream + 1),
        .up_bias = s->gated ? NULL : make(s->own * wide, stream + 2),
        .down_weight = make(s->own * s->hidden * CHANNELS, stream + 3),
        .down_bias = s->gated ? NULL : make(s->own * CHANNELS, stream + 4),
    };
}

static void free_weights(struct dt_moe_weights *w)
{
    real *all[] = {w->router, w->up_weight, w->up_bias, w->down_weight, w->down_bias};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

static struct layer make_layer(bool gated, size_t chosen)
{
    struct layer l = {.shape = {.experts = EXPERTS,
                                .chosen = chosen,
                                .own = EXPERTS,
                                .channels = CHANNELS,
                                .hidden = HIDDEN,
                                .seq = TIME,
                                .gated = gated,
                                .balance = 0.4},
                      .in = make(STREAM, 20),
                      .slope = make(STREAM, 21),
                      .out = make(STREAM, 22),
                      .d_in = make(STREAM, 23)};
    l.w = make_weights(&l.shape, 1);
    l.g = make_weights(&l.shape, 11); /* to be overwritten */
    return l;
}

static void free_layer(struct layer *l)
{
    free_weights(&l->w);
    free_weights(&l->g);
    free(l->in);
    free(l->slope);
    free(l->out);
    free(l->d_in);
}

static double dot(const real *a, const real *b, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += a[i] * b[i];
    return sum;
}

/* Of one process. */
struct alone {
    struct dt_blas blas;
    struct dt_comm comm;
    struct dt_moe moe;
    struct dt_moe_kept kept;
    struct layer *layer;
};

static void open_alone(struct alone *a, struct layer *l)
{
    struct dt_error err;
    a->layer = l;
    dt_comm_single_open(&a->comm);
    assert_int_equal(dt_blas_open(&a->blas, DT_BLAS_BUILTIN, 1, &err), 0);
    assert_int_equal(dt_moe_init(&a->moe, &l->shape, ROWS, &a->blas, &err), 0);
    a->moe.experts = a->moe.context = a->moe.tensor = &a->comm;
    a->moe.scale = scale;
    assert_int_equal(dt_moe_kept_init(&a->kept, &a->moe, &err), 0);
}

static void close_alone(struct alone *a)
{
    dt_moe_kept_fini(&a->kept);
    dt_moe_fini(&a->moe);
    dt_blas_close(&a->blas);
    a->comm.operations->close(&a->comm);
}

static double loss_of(void *context)
{
    struct alone *a = context;
    struct layer *l = a->layer;
    struct dt_error err;
    a->moe.loss = 0;
    assert_int_equal(dt_moe_forward(&a->moe, &l->w, &a->kept, l->out, l->in, SEQUENCES, TIME, &err),
                     0);
    l->loss = a->moe.loss;
    return dot(l->out, l->slope, STREAM) + scale * a->moe.loss;
}

static void backward(struct alone *a, bool add)
{
    struct layer *l = a->layer;
    struct dt_error err;
    assert_int_equal(dt_moe_backward(&a->moe, &l->w, &l->g, &a->kept, l->d_in, l->slope, l->in,
                                     SEQUENCES, TIME, add, &err),
                     0);
}

static void check(const char *what, struct alone *a, real *values, const real *gradient,
                  size_t count)
{
    const double step = 1e-4;
    for (size_t n = 0; n < 16; n++) {
        size_t i = dt_rng_bits(3, n, count) % count;
        real saved = values[i];
        double at[4];
        static const double places[] = {-2, -1, 1, 2};
        for (int p = 0; p < 4; p++) {
            values[i] = saved + places[p] * step;
            at[p] = loss_of(a);
        }
        values[i] = saved;
        double slope = (at[0] - 8 * at[1] + 8 * at[2] - at[3]) / (12 * step);
        if (fabs(slope - gradient[i]) > 1e-6 * fmax(fabs(slope), fabs(gradient[i])) + 1e-10)
            fail_msg("%s[%zu]: gradient %.12g, difference %.12g", what, i, gradient[i], slope);
    }
}

static void check_gradients(bool gated, size_t chosen)
{
    struct layer l = make_layer(gated, chosen);
    struct alone a;
    size_t wide = wide_of(&l.shape);
    open_alone(&a, &l);
    loss_of(&a);
    backward(&a, false);
    check("d_in", &a, l.in, l.d_in, STREAM);
    check("router", &a, l.w.router, l.g.router, EXPERTS * CHANNELS);
    check("up", &a, l.w.up_weight, l.g.up_weight, EXPERTS * wide * CHANNELS);
    check("down", &a, l.w.down_weight, l.g.down_weight, EXPERTS * HIDDEN * CHANNELS);
    if (!gated) {
        check("up bias", &a, l.w.up_bias, l.g.up_bias, EXPERTS * wide);
        check("down bias", &a, l.w.down_bias, l.g.down_bias, EXPERTS * CHANNELS);
    }
    double once = l.g.router[1], up = l.g.up_weight[1]; /* later micro-batches add */
    loss_of(&a);
    backward(&a, true);
    assert_true(fabs(l.g.router[1] - 2 * once) < 1e-12 && fabs(l.g.up_weight[1] - 2 * up) < 1e-12);
    close_alone(&a);
    free_layer(&l);
}

static void test_gradients(void **state)
{
    (void)state;
    check_gradients(false, 2);
    check_gradients(true, 2);
    check_gradients(true, 1); /* its weight is 1: the router learns of the balance alone */
    check_gradients(false, EXPERTS);
}

/* All experts alike: as many weights as there are, and they sum to 1, so it is one expert's output.
 * Of equal probabilities the first are taken; shared out evenly the balance is `balance` a row. */
static void test_ties(void **state)
{
    (void)state;
    struct layer l = make_layer(true, 2);
    struct alone a;
    memset(l.w.router, 0, EXPERTS * CHANNELS * sizeof(real));
    open_alone(&a, &l);
    loss_of(&a);
    for (size_t i = 0; i < ROWS * 2; i++) {
        assert_int_equal(a.kept.choice[i], i % 2);
        assert_true(a.kept.weight[i] == 0.5);
    }
    /* half of the probability is with the experts that take all rows */
    assert_true(fabs(a.moe.loss - 0.4 * ROWS) < 1e-12);
    backward(&a, false);
    for (size_t i = 2 * 2 * HIDDEN * CHANNELS; i < 4 * 2 * HIDDEN * CHANNELS; i++)
        assert_true(l.g.up_weight[i] == 0); /* nobody chose them, and memory held something */
    close_alone(&a);
    free_layer(&l);
}

enum kind { EXPERT_RANKS, CONTEXT_RANKS, TENSOR_RANKS };
enum fault { NONE, WRONG_EXPERT, LOST_ROWS, OWN_SEQUENCE, FAULTS };

struct scene {
    const struct layer *whole; /* as one process has it */
    enum kind kind;
    enum fault fault;
    int ranks;
    double router[EXPERTS * CHANNELS], out[STREAM], d_in[STREAM]; /* sums over ranks */
    _Atomic int far, failed;
    double loss;
    pthread_mutex_t lock;
};

static _Thread_local const struct dt_comm_operations *real_operations;

/* The last rank's rows go to the first and so on: other experts work on them. */
static int to_wrong_rank(struct dt_comm *comm, const real *all, const size_t *send, real *mine,
                         const size_t *receive, size_t most, struct dt_error *err)
{
    int rc = real_operations->all_to_all_start(comm, all, send, mine, receive, most, err);
    if (rc < 0 || dt_comm_drain(comm, err) < 0)
        return -1;
    size_t count = 0;
    for (int r = 0; r < comm->size; r++)
        count += receive[r];
    for (size_t i = 0; i + CHANNELS < count; i++) /* each row's place has the next one's */
        mine[i] = mine[i + CHANNELS];
    return 0;
}

static int lose_rows(struct dt_comm *comm, const real *all, const size_t *send, real *mine,
                     const size_t *receive, size_t most, struct dt_error *err)
{
    int rc = real_operations->all_to_all_start(comm, all, send, mine, receive, most, err);
    if (rc < 0 || dt_comm_drain(comm, err) < 0)
        return -1;
    if (receive[0] > 0)
        memset(mine, 0, CHANNELS * sizeof *mine);
    return 0;
}

static int keep_own(struct dt_comm *comm, void *data, size_t count, enum dt_comm_type type,
                    struct dt_error *err)
{
    (void)data, (void)count, (void)type, (void)err;
    comm->finished = ++comm->started;
    return 0;
}

static void plant(struct dt_comm *comm, enum fault fault, struct dt_comm_operations *faulty)
{
    real_operations = comm->operations;
    *faulty = *comm->operations;
    if (fault == WRONG_EXPERT)
        faulty->all_to_all_start = to_wrong_rank;
    else if (fault == LOST_ROWS)
        faulty->all_to_all_start = lose_rows;
    else if (fault == OWN_SEQUENCE)
        faulty->sum_start = keep_own;
    comm->operations = faulty;
}

/* Which row of the whole is row `i` of this rank: all, its sequences, or its part of each. */
static size_t row_of(const struct scene *scene, int rank, size_t i)
{
    size_t ranks = (size_t)scene->ranks, at = (size_t)rank;
    if (scene->kind == EXPERT_RANKS)
        return at * (ROWS / ranks) + i;
    if (scene->kind == CONTEXT_RANKS)
        return i / (TIME / ranks) * TIME + at * (TIME / ranks) + i % (TIME / ranks);
    return i;
}

/* This rank's part of `hidden` of each expert, out of the whole's tensors or to be compared. */
static void cut_hidden(const struct scene *scene, const struct dt_moe_shape *s, int rank,
                       const struct dt_moe_weights *whole, struct dt_moe_weights *w)
{
    size_t first = (size_t)rank * s->hidden, halves = s->gated ? 2 : 1;
    (void)scene;
    for (size_t e = 0; e < EXPERTS; e++) {
        for (size_t h = 0; h < halves * s->hidden; h++) {
            size_t row = e * halves * HIDDEN + h / s->hidden * HIDDEN + first + h % s->hidden;
            size_t here = e * halves * s->hidden + h;
            memcpy(w->up_weight + here * CHANNELS, whole->up_weight + row * CHANNELS,
                   CHANNELS * sizeof(real));
            if (w->up_bias)
                w->up_bias[here] = whole->up_bias[row];
        }
        for (size_t c = 0; c < CHANNELS; c++)
            memcpy(w->down_weight + (e * CHANNELS + c) * s->hidden,
                   whole->down_weight + (e * CHANNELS + c) * HIDDEN + first,
                   s->hidden * sizeof(real));
    }
}

static void compare(struct scene *scene, const real *mine, const real *whole, size_t count)
{
    for (size_t i = 0; mine && i < count; i++)
        if (!(fabs(mine[i] - whole[i]) <= 1e-12 * (1 + fabs(whole[i]))))
            scene->far = 1;
}

/* Own experts, in the whole's tensors. */
static struct dt_moe_weights from_first(const struct dt_moe_shape *s,
                                        const struct dt_moe_weights *whole)
{
    size_t e = s->first, wide = wide_of(s), hidden = s->hidden;
    return (struct dt_moe_weights){whole->router, whole->up_weight + e * wide * CHANNELS,
                                   s->gated ? NULL : whole->up_bias + e * wide,
                                   whole->down_weight + e * hidden * CHANNELS,
                                   s->gated ? NULL : whole->down_bias + e * CHANNELS};
}

static void compare_gradients(struct scene *scene, const struct dt_moe_shape *s, int rank,
                              const struct dt_moe_weights *g)
{
    size_t wide = wide_of(s), hidden = s->hidden;
    struct dt_moe_weights expected = from_first(s, &scene->whole->g), cut = {0};
    if (scene->kind == CONTEXT_RANKS)
        return; /* each has a part of every gradient: they are summed like the router's */
    if (scene->kind == TENSOR_RANKS) {
        cut = make_weights(s, 40);
        cut_hidden(scene, s, rank, &scene->whole->g, &cut);
        if (cut.down_bias)
            memcpy(cut.down_bias, scene->whole->g.down_bias, EXPERTS * CHANNELS * sizeof(real));
        expected = cut;
    }
    compare(scene, g->up_weight, expected.up_weight, s->own * wide * CHANNELS);
    compare(scene, g->up_bias, expected.up_bias, s->own * wide);
    compare(scene, g->down_weight, expected.down_weight, s->own * hidden * CHANNELS);
    compare(scene, g->down_bias, expected.down_bias, s->own * CHANNELS);
    if (scene->kind == TENSOR_RANKS)
        free_weights(&cut);
}

static void add_up(struct scene *scene, int rank, size_t rows, const struct dt_moe *moe,
                   const real *out, const real *d_in, const real *router)
{
    pthread_mutex_lock(&scene->lock);
    for (size_t i = 0; i < rows * CHANNELS; i++) {
        size_t at = row_of(scene, rank, i / CHANNELS) * CHANNELS + i % CHANNELS;
        scene->out[at] += out[i];
        scene->d_in[at] += d_in[i];
    }
    double part = scene->kind == TENSOR_RANKS ? 1.0 / scene->ranks : 1; /* the same on each */
    for (size_t i = 0; i < EXPERTS * CHANNELS; i++)
        scene->router[i] += part * router[i];
    scene->loss += moe->loss;
    pthread_mutex_unlock(&scene->lock);
}

static void one_rank(struct dt_comm *world, void *context)
{
    struct scene *scene = context;
    struct dt_moe_shape s = scene->whole->shape;
    struct dt_comm single;
    struct dt_comm_operations faulty;
    const struct dt_comm_operations *before = world->operations;
    struct dt_blas blas;
    struct dt_moe moe;
    struct dt_moe_kept kept;
    struct dt_error err;
    size_t ranks = (size_t)scene->ranks, rows = ROWS, sequences = SEQUENCES;
    if (scene->kind == EXPERT_RANKS) {
        s.own /= ranks;
        s.first = (size_t)world->rank * s.own;
        sequences /= ranks;
    }
    if (scene->kind == TENSOR_RANKS)
        s.hidden /= ranks;
    else
        rows /= ranks;
    dt_comm_single_open(&single);
    plant(world, scene->fault, &faulty);
    if (dt_blas_open(&blas, DT_BLAS_BUILTIN, 1, &err) < 0 ||
        dt_moe_init(&moe, &s, rows, &blas, &err) < 0 || dt_moe_kept_init(&kept, &moe, &err) < 0) {
        scene->failed = 1;
        return;
    }
    moe.experts = scene->kind == EXPERT_RANKS ? world : &single;
    moe.context = scene->kind == CONTEXT_RANKS ? world : &single;
    moe.tensor = scene->kind == TENSOR_RANKS ? world : &single;
    moe.scale = scale;
    struct dt_moe_weights cut = make_weights(&s, 30), g = make_weights(&s, 31);
    struct dt_moe_weights w = from_first(&s, &scene->whole->w);
    if (scene->kind == TENSOR_RANKS) {
        cut_hidden(scene, &s, world->rank, &scene->whole->w, &cut);
        w.up_weight = cut.up_weight;
        w.up_bias = cut.up_bias;
        w.down_weight = cut.down_weight;
    }
    real *in = make(rows * CHANNELS, 50), *slope = make(rows * CHANNELS, 51);
    real *out = make(rows * CHANNELS, 52), *d_in = make(rows * CHANNELS, 53);
    for (size_t i = 0; i < rows * CHANNELS; i++) {
        size_t at = row_of(scene, world->rank, i / CHANNELS) * CHANNELS + i % CHANNELS;
        in[i] = scene->whole->in[at];
        slope[i] = scene->whole->slope[at];
    }
    size_t time = rows / sequences;
    if (dt_moe_forward(&moe, &w, &kept, out, in, sequences, time, &err) < 0 ||
        dt_moe_backward(&moe, &w, &g, &kept, d_in, slope, in, sequences, time, false, &err) < 0)
        scene->failed = 1;
    compare_gradients(scene, &s, world->rank, &g);
    add_up(scene, world->rank, rows, &moe, out, d_in, g.router);
    world->operations = before;
    free(in);
    free(slope);
    free(out);
    free(d_in);
    free_weights(&cut);
    free_weights(&g);
    dt_moe_kept_fini(&kept);
    dt_moe_fini(&moe);
    dt_blas_close(&blas);
    single.operations->close(&single);
}

/* Does it all equal what one process makes of it? */
static bool equal(const struct layer *whole, enum kind kind, int ranks, enum fault fault)
{
    struct scene *scene = calloc(1, sizeof *scene);
    scene->whole = whole;
    scene->kind = kind;
    scene->ranks = ranks;
    scene->fault = fault;
    pthread_mutex_init(&scene->lock, NULL);
    ranks_run(ranks, one_rank, scene);
    compare(scene, scene->out, whole->out, STREAM);
    compare(scene, scene->d_in, whole->d_in, STREAM);
    compare(scene, scene->router, whole->g.router, EXPERTS * CHANNELS);
    compare(scene, &scene->loss, &whole->loss, 1);
    assert_int_equal(scene->failed, 0);
    bool fine = scene->far == 0;
    pthread_mutex_destroy(&scene->lock);
    free(scene);
    return fine;
}

static void test_ranks(void **state)
{
    (void)state;
    for (int gated = 0; gated < 2; gated++) {
        struct layer l = make_layer(gated, CHOSEN);
        struct alone a;
        open_alone(&a, &l);
        loss_of(&a);
        backward(&a, false);
        for (int ranks = 2; ranks <= 4; ranks *= 2) {
            assert_true(equal(&l, EXPERT_RANKS, ranks, NONE));
            assert_true(equal(&l, CONTEXT_RANKS, ranks, NONE));
            assert_true(equal(&l, TENSOR_RANKS, ranks, NONE));
        }
        assert_false(equal(&l, EXPERT_RANKS, 2, WRONG_EXPERT));
        assert_false(equal(&l, EXPERT_RANKS, 4, LOST_ROWS));
        assert_false(equal(&l, CONTEXT_RANKS, 2, OWN_SEQUENCE)); /* rows elsewhere not counted */
        assert_false(equal(&l, TENSOR_RANKS, 2, OWN_SEQUENCE));  /* weights of a part of `hidden` */
        close_alone(&a);
        free_layer(&l);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradients),
        cmocka_unit_test(test_ties),
        cmocka_unit_test(test_ranks),
    };
    omp_set_num_threads(1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
