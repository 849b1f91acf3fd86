/* SPDX-License-Identifier: Apache-2.0 */
/* Attention over a ring of ranks (threads) against that of one process, in double; what each rank
 * sees of each other's keys; and faults planted in the ring. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "reals.h"
#include "ring.h"
#include "rng.h"
#include "train_ranks.h"

enum { BATCH = 2, TIME = 24, HEAD = 5 };

enum fault { NONE, SKIPPED_STEP, SAME_PLACES, LOST_GRADIENT, FAULTS };

struct scene {
    struct dt_attention_shape shape; /* of whole sequences */
    int ranks;
    enum fault fault;
    real *qkv, *slope, *out, *d_qkv; /* of one process */
    double far;                      /* largest difference of a rank's from these */
    pthread_mutex_t lock;
    _Atomic int failed;
};

static size_t wide_of(const struct dt_attention_shape *s)
{
    return (s->heads + 2 * s->kv_heads) * s->head;
}

static real *make(size_t count, unsigned stream)
{
    real *values = dt_reals(count);
    dt_rng_fill(values, 0, count, 0.7, 7, stream);
    return values;
}

/* One's own keys come round again, as if nobody had passed them on. */
static int receive_nothing(struct dt_comm *comm, struct dt_message *message, real *data,
                           size_t count, int from, struct dt_error *err)
{
    (void)comm, (void)data, (void)count, (void)from, (void)err;
    *message = (struct dt_message){.done = true};
    return 0;
}

static int send_nothing(struct dt_comm *comm, struct dt_message *message, const real *data,
                        size_t count, int to, struct dt_error *err)
{
    (void)comm, (void)data, (void)count, (void)to, (void)err;
    *message = (struct dt_message){.done = true};
    return 0;
}

static void take_rows(const struct scene *scene, int rank, size_t time, real *mine,
                      const real *whole, size_t columns)
{
    for (size_t row = 0; row < BATCH * time; row++) {
        size_t place = dt_ring_place(rank, scene->ranks, time, row % time);
        memcpy(mine + row * columns, whole + (row / time * TIME + place) * columns,
               columns * sizeof *mine);
    }
}

static void compare(struct scene *scene, int rank, size_t time, const real *mine, const real *whole,
                    size_t columns)
{
    double far = 0;
    for (size_t i = 0; i < BATCH * time * columns; i++) {
        size_t row = i / columns, place = dt_ring_place(rank, scene->ranks, time, row % time);
        far = fmax(far, fabs(mine[i] - whole[(row / time * TIME + place) * columns + i % columns]));
    }
    pthread_mutex_lock(&scene->lock);
    scene->far = fmax(scene->far, far);
    pthread_mutex_unlock(&scene->lock);
}

static void one_rank(struct dt_comm *comm, void *context)
{
    struct scene *scene = context;
    struct dt_attention_shape s = scene->shape;
    struct dt_comm_operations faulty = *comm->operations;
    const struct dt_comm_operations *before = comm->operations;
    struct dt_blas blas;
    struct dt_ring ring;
    struct dt_error err;
    size_t time = s.time = TIME / (size_t)scene->ranks, wide = wide_of(&s);
    size_t channels = s.heads * s.head, rows = BATCH * time;
    real *work = dt_reals(dt_ring_work_size(comm, &s)),
         *scores = dt_reals(dt_attention_work_size(time));
    real *qkv = make(rows * wide, 1), *d_qkv = make(rows * wide, 2),
         *log_sum = make(rows * s.heads, 3);
    real *out = make(rows * channels, 4), *d_out = make(rows * channels, 5);
    int place = scene->fault == SAME_PLACES ? 0 : comm->rank;
    take_rows(scene, place, time, qkv, scene->qkv, wide);
    take_rows(scene, place, time, d_out, scene->slope, channels);
    if (dt_blas_open(&blas, DT_BLAS_BUILTIN, 1, &err) < 0)
        scene->failed = 1;
    dt_ring_init(&ring, comm, work, &s);
    if (scene->fault == SKIPPED_STEP) {
        faulty.send_start = send_nothing;
        faulty.receive_start = receive_nothing;
        comm->operations = &faulty;
    }
    if (dt_ring_forward(&ring, &blas, out, log_sum, qkv, scores, &s, &err) < 0)
        scene->failed = 1;
    if (scene->fault == LOST_GRADIENT) {
        faulty.send_start = send_nothing;
        faulty.receive_start = receive_nothing;
        comm->operations = &faulty;
    }
    if (dt_ring_backward(&ring, &blas, d_qkv, d_out, out, log_sum, qkv, scores, &s, &err) < 0)
        scene->failed = 1;
    if (scene->fault != LOST_GRADIENT)
        compare(scene, comm->rank, time, out, scene->out, channels);
    compare(scene, comm->rank, time, d_qkv, scene->d_qkv, wide);
    comm->operations = before;
    real *all[] = {work, scores, qkv, d_qkv, log_sum, out, d_out};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
    dt_blas_close(&blas);
}

/* The largest difference from one process. */
static double distance(size_t heads, size_t kv_heads, int ranks, enum fault fault)
{
    struct scene scene = {.shape = {BATCH, TIME, heads, kv_heads, HEAD},
                          .ranks = ranks,
                          .fault = fault,
                          .lock = PTHREAD_MUTEX_INITIALIZER};
    const struct dt_attention_shape *s = &scene.shape;
    struct dt_blas blas;
    struct dt_error err;
    size_t rows = BATCH * TIME, wide = wide_of(s), channels = heads * HEAD;
    real *log_sum = make(rows * heads, 6), *work = dt_reals(dt_attention_work_size(TIME));
    scene.qkv = make(rows * wide, 7);
    scene.slope = make(rows * channels, 8);
    scene.out = make(rows * channels, 9);
    scene.d_qkv = make(rows * wide, 10);
    for (size_t i = 0; i < rows * wide; i++)
        scene.qkv[i] *= 3; /* so that some keys far outweigh others */
    assert_int_equal(dt_blas_open(&blas, DT_BLAS_BUILTIN, 1, &err), 0);
    dt_attention_forward(&blas, scene.out, log_sum, scene.qkv, work, s);
    dt_attention_backward(&blas, scene.d_qkv, scene.slope, scene.out, log_sum, scene.qkv, work, s);
    ranks_run(ranks, one_rank, &scene);
    assert_int_equal(scene.failed, 0);
    real *all[] = {log_sum, work, scene.qkv, scene.slope, scene.out, scene.d_qkv};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
    dt_blas_close(&blas);
    return scene.far;
}

static void test_ring(void **state)
{
    (void)state;
    for (int ranks = 2; ranks <= 4; ranks++) {
        assert_true(distance(3, 3, ranks, NONE) < 1e-12);
        assert_true(distance(6, 2, ranks, NONE) < 1e-12);
        assert_true(distance(4, 1, ranks, NONE) < 1e-12);
    }
}

static void test_mutations(void **state)
{
    (void)state;
    for (int ranks = 2; ranks <= 4; ranks += 2)
        for (enum fault fault = NONE + 1; fault < FAULTS; fault++)
            assert_true(distance(6, 2, ranks, fault) > 1e-3);
}

/* Each place is one rank's, each query sees exactly the keys up to its own, and no rank has more
 * pairs to score in a step than another, but for the half of its own that is in the future. */
static void test_shares(void **state)
{
    (void)state;
    for (int ranks = 1; ranks <= 6; ranks++) {
        size_t time = 4, all = time * (size_t)ranks;
        int owner[24], row[24], seen[24] = {0};
        for (int r = 0; r < ranks; r++) {
            for (size_t i = 0; i < time; i++) {
                size_t place = dt_ring_place(r, ranks, time, i);
                assert_true(place < all && !seen[place]++);
                owner[place] = r;
                row[place] = (int)i;
            }
        }
        for (size_t q = 0; q < all; q++) {
            for (size_t k = 0; k < all; k++) {
                struct dt_attention_span a = dt_ring_span(owner[q], owner[k], time);
                size_t i = (size_t)row[q], j = (size_t)row[k];
                bool sees = i >= a.first_query && i < a.first_query + a.queries &&
                            (a.causal ? j <= i : j < a.keys);
                assert_true(sees == (k <= q));
            }
        }
        for (int r = 0; r < ranks; r++) {
            for (int o = 0; o < ranks; o++) {
                struct dt_attention_span a = dt_ring_span(r, o, time);
                assert_true(a.queries * a.keys == (r == o ? time * time : time * time / 2));
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shares),
        cmocka_unit_test(test_ring),
        cmocka_unit_test(test_mutations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
