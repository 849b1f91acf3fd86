/* SPDX-License-Identifier: Apache-2.0 */
/* The shared window: sums in the order of the ranks to the bit, every operation at odd lengths, from
 * the window and from elsewhere, many at once, in groups. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "comm_queue.h"
#include "reals.h"
#include "train_ranks.h"

static const size_t lengths[] = {1, 15, 16, 17, 1000, 65536, 65537, 200001};
enum { LENGTHS = sizeof lengths / sizeof *lengths, ROUNDS = 1 };

/* Sums of these differ in the last bits by the order of the terms. */
static real value(int rank, size_t i)
{
    return (real)(1.0 + 0.37 * rank) / (real)(3 + i % 1013);
}

static real ordered(int size, size_t i)
{
    real sum = value(0, i);
    for (int r = 1; r < size; r++)
        sum += value(r, i);
    return sum;
}

/* cmocka's own failures can not leave a thread: bad values are counted, and judged outside. */
struct outcome {
    _Atomic long bad, seen;
};

static void expect(struct outcome *o, bool fine)
{
    o->seen++;
    o->bad += !fine;
}

static void check_sum(struct dt_comm *comm, struct outcome *o, real *data, size_t count)
{
    struct dt_error err;
    for (size_t i = 0; i < count; i++)
        data[i] = value(comm->rank, i);
    expect(o, dt_comm_sum(comm, data, count, DT_COMM_REAL, &err) == 0);
    for (size_t i = 0; i < count; i++)
        expect(o, data[i] == ordered(comm->size, i));
}

static void check_scatter(struct dt_comm *comm, struct outcome *o, real *all, real *mine,
                          size_t count)
{
    struct dt_error err;
    size_t own = (size_t)comm->rank * count;
    for (size_t i = 0; i < count * (size_t)comm->size; i++)
        all[i] = value(comm->rank, i);
    expect(o, comm->operations->scatter_start(comm, all, mine, count, &err) == 0);
    expect(o, dt_comm_drain(comm, &err) == 0);
    for (size_t i = 0; i < count; i++)
        expect(o, mine[i] == ordered(comm->size, own + i));
}

static void check_gather(struct dt_comm *comm, struct outcome *o, real *all, real *mine,
                         size_t count)
{
    struct dt_error err;
    for (size_t i = 0; i < count; i++)
        mine[i] = value(comm->rank, i);
    expect(o, comm->operations->gather_start(comm, mine, all, count, &err) == 0);
    expect(o, dt_comm_drain(comm, &err) == 0);
    for (int r = 0; r < comm->size; r++)
        for (size_t i = 0; i < count; i++)
            expect(o, all[(size_t)r * count + i] == value(r, i));
}

/* Runs of odd lengths, none between some pairs, `most` above what one piece takes. */
static size_t run_length(size_t most, int from, int to)
{
    return (from + 2 * to) % 3 == 0 ? 0 : most / (size_t)(1 + (from * 5 + to) % 4);
}

static void check_all_to_all(struct dt_comm *comm, struct outcome *o, real *all, real *mine,
                             size_t most)
{
    struct dt_error err;
    size_t send[RANKS_MOST], receive[RANKS_MOST], sent = 0, at = 0;
    for (int r = 0; r < comm->size; r++) {
        send[r] = run_length(most, comm->rank, r);
        receive[r] = run_length(most, r, comm->rank);
        for (size_t i = 0; i < send[r]; i++)
            all[sent++] = value(comm->rank * 10 + r, i);
    }
    expect(o, comm->operations->all_to_all_start(comm, all, send, mine, receive, most, &err) == 0);
    expect(o, dt_comm_drain(comm, &err) == 0);
    for (int r = 0; r < comm->size; r++)
        for (size_t i = 0; i < receive[r]; i++)
            expect(o, mine[at++] == value(r * 10 + comm->rank, i));
}

static void all_operations(struct dt_comm *comm, void *context)
{
    struct outcome *o = context;
    size_t most = lengths[LENGTHS - 1], size = (size_t)comm->size;
    real *window = comm->operations->memory(comm, most * size), *plain = dt_reals(most * size);
    real *other = dt_reals(most * size), *part = comm->operations->memory(comm, most);
    for (int round = 0; round < ROUNDS * LENGTHS; round++) {
        size_t count = lengths[round % LENGTHS], own = (size_t)comm->rank * count;
        check_sum(comm, o, window, count);
        check_sum(comm, o, plain, count);
        check_scatter(comm, o, window, other, count);
        check_scatter(comm, o, window, window + own, count);
        check_scatter(comm, o, plain, other, count);
        check_scatter(comm, o, plain, plain + own, count);
        check_gather(comm, o, plain, part, count);
        check_gather(comm, o, window, window + own, count);
        check_gather(comm, o, plain, other, count);
        check_gather(comm, o, plain, plain + own, count);
        check_all_to_all(comm, o, window, other, count);
        check_all_to_all(comm, o, plain, window, count);
    }
    free(plain);
    free(other);
}

static void test_operations(void **state)
{
    (void)state;
    for (int size = 1; size <= 5; size++) {
        struct outcome o = {0};
        ranks_run(size, all_operations, &o);
        assert_true(o.seen > 1000000 * size / 2);
        assert_int_equal(o.bad, 0);
    }
}

/* Many started before any is waited for; each ends in its turn. */
static void many(struct dt_comm *comm, void *context)
{
    enum { MANY = 40, COUNT = 5000 };
    struct outcome *o = context;
    struct dt_error err;
    real *data = comm->operations->memory(comm, MANY * COUNT), *plain = dt_reals(MANY * COUNT);
    for (size_t i = 0; i < MANY * COUNT; i++)
        data[i] = plain[i] = value(comm->rank, i);
    for (size_t m = 0; m < MANY; m++)
        expect(o, comm->operations->sum_start(comm, (m % 2 ? data : plain) + m * COUNT, COUNT,
                                              DT_COMM_REAL, &err) == 0);
    for (uint64_t m = 0; m < MANY; m++) {
        expect(o, dt_comm_wait(comm, m + 1, &err) == 0 && comm->finished > m);
        for (size_t i = m * COUNT; i < (m + 1) * COUNT; i++)
            expect(o, (m % 2 ? data : plain)[i] == ordered(comm->size, i));
    }
    free(plain);
}

static void test_many(void **state)
{
    (void)state;
    struct outcome o = {0};
    ranks_run(4, many, &o);
    assert_true(o.seen > 100000);
    assert_int_equal(o.bad, 0);
}

static void groups(struct dt_comm *comm, void *context)
{
    struct outcome *o = context;
    struct dt_comm pair;
    struct dt_error err;
    expect(o, comm->operations->split(comm, comm->rank / 2, &pair, &err) == 0);
    expect(o, pair.size == 2 && pair.rank == comm->rank % 2);
    double sum = comm->rank;
    expect(o, dt_comm_sum(&pair, &sum, 1, DT_COMM_DOUBLE, &err) == 0);
    expect(o, sum == comm->rank / 2 * 4 + 1);
    char text[300000] = "";
    if (comm->rank == 2)
        memset(text, 'x', sizeof text);
    expect(o, comm->operations->broadcast(comm, text, sizeof text, 2, &err) == 0);
    expect(o, text[0] == 'x' && text[sizeof text - 1] == 'x');
    pair.operations->close(&pair);
}

static void test_groups(void **state)
{
    (void)state;
    struct outcome o = {0};
    ranks_run(4, groups, &o);
    assert_int_equal(o.seen, 24);
    assert_int_equal(o.bad, 0);
}

/* Slices cover all of it, once. */
static void test_slices(void **state)
{
    (void)state;
    for (int size = 1; size <= 9; size++) {
        for (size_t count = 1; count < 500; count += 7) {
            size_t next = 0;
            for (int r = 0; r < size; r++) {
                struct dt_slice slice = dt_slice_of(count, r, size);
                assert_int_equal(slice.begin, next);
                next += slice.count;
            }
            assert_int_equal(next, count);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slices),
        cmocka_unit_test(test_operations),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_groups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
