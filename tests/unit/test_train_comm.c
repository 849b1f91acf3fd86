/* SPDX-License-Identifier: Apache-2.0 */
/* The shared window: sums in the order of the ranks to the bit, every operation at odd lengths, from
 * the window and from elsewhere, many at once, in groups; messages between pairs of ranks, of which none
 * holds up another. */
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
    return (from + 2 * to) % 3 == 1 ? 0 : most / (size_t)(1 + (from * 5 + to) % 4);
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

static real letter(int from, int to, size_t number, size_t i)
{
    return (real)((size_t)from * 7 + (size_t)to * 31 + number * 101 + i % 997);
}

enum { LETTERS = 8, LETTER_MOST = 100000 };
static const size_t letter_lengths[LETTERS] = {1, 0, 17, 40000, 3, LETTER_MOST, 32768, 0};

/* Every rank to every other, from the window and from elsewhere: all sends are started before any
 * receive, receives pair by pair from the last rank on, and a sum of the group in between. */
static void letters(struct dt_comm *comm, void *context)
{
    struct outcome *o = context;
    struct dt_error err;
    size_t pairs = (size_t)comm->size * LETTERS;
    struct dt_message *out = calloc(pairs, sizeof *out), *in = calloc(pairs, sizeof *in);
    real *sent[2] = {comm->operations->memory(comm, pairs * LETTER_MOST),
                     dt_reals(pairs * LETTER_MOST)};
    real *got = dt_reals(pairs * LETTER_MOST);
    for (int to = 0; to < comm->size; to++) {
        for (size_t n = 0; n < LETTERS && to != comm->rank; n++) {
            size_t at = (size_t)to * LETTERS + n;
            real *data = sent[n / 3 % 2] + at * LETTER_MOST;
            for (size_t i = 0; i < letter_lengths[n]; i++)
                data[i] = letter(comm->rank, to, n, i);
            expect(o, comm->operations->send_start(comm, &out[at], data, letter_lengths[n], to,
                                                   &err) == 0);
        }
    }
    double sum = 1;
    expect(o, comm->operations->sum_start(comm, &sum, 1, DT_COMM_DOUBLE, &err) == 0);
    expect(o, dt_comm_wait(comm, comm->started, &err) == 0 && sum == comm->size);
    for (int from = comm->size; from-- > 0;)
        for (size_t n = 0; n < LETTERS && from != comm->rank; n++)
            expect(o,
                   comm->operations->receive_start(comm, &in[(size_t)from * LETTERS + n],
                                                   got + ((size_t)from * LETTERS + n) * LETTER_MOST,
                                                   letter_lengths[n], from, &err) == 0);
    expect(o, dt_comm_drain(comm, &err) == 0 && comm->under_way == 0);
    for (int from = 0; from < comm->size; from++)
        for (size_t n = 0; n < LETTERS && from != comm->rank; n++)
            for (size_t i = 0; i < letter_lengths[n]; i++)
                expect(o, got[((size_t)from * LETTERS + n) * LETTER_MOST + i] ==
                              letter(from, comm->rank, n, i));
    free(sent[1]);
    free(got);
    free(out);
    free(in);
}

static void test_messages(void **state)
{
    (void)state;
    for (int size = 2; size <= 4; size++) {
        struct outcome o = {0};
        ranks_run(size, letters, &o);
        assert_true(o.seen > 100000 * size * (size - 1));
        assert_int_equal(o.bad, 0);
    }
}

/* Rank 0's first message, of more than all its slots, is received last of all. */
static void detour(struct dt_comm *comm, void *context)
{
    enum { BIG = 500000 };
    struct outcome *o = context;
    struct dt_error err;
    struct dt_message big, small;
    const struct dt_comm_operations *op = comm->operations;
    real *data = dt_reals(BIG), word = (real)comm->rank;
    int before = (comm->rank + 2) % 3;
    if (comm->rank == 0) {
        for (size_t i = 0; i < BIG; i++)
            data[i] = letter(0, 1, 0, i);
        expect(o, op->send_start(comm, &big, data, BIG, 1, &err) == 0);
        expect(o, op->send_start(comm, &small, &word, 1, 2, &err) == 0);
        expect(o, dt_comm_wait_message(comm, &small, &err) == 0 && !big.done);
        word = -1;
        expect(o, op->send_start(comm, &small, &word, 1, 2, &err) == 0);
    } else {
        for (int turn = 0; turn < (comm->rank == 2 ? 2 : 1); turn++)
            expect(o,
                   op->receive_start(comm, &small, &word, 1, comm->rank == 2 ? 0 : 2, &err) == 0 &&
                       dt_comm_wait_message(comm, &small, &err) == 0);
        expect(o, word == -1);
    }
    if (comm->rank == 1)
        expect(o, op->receive_start(comm, &big, data, BIG, before, &err) == 0);
    if (comm->rank == 2)
        expect(o, op->send_start(comm, &small, &word, 1, before, &err) == 0);
    expect(o, dt_comm_drain(comm, &err) == 0);
    for (size_t i = 0; i < BIG && comm->rank < 2; i++)
        expect(o, data[i] == letter(0, 1, 0, i));
    free(data);
}

static void test_detour(void **state)
{
    (void)state;
    struct outcome o = {0};
    ranks_run(3, detour, &o);
    assert_true(o.seen > 1000000);
    assert_int_equal(o.bad, 0);
}

static void too_long(struct dt_comm *comm, void *context)
{
    struct outcome *o = context;
    struct dt_error err = {0};
    struct dt_message message;
    real data[8] = {0};
    const struct dt_comm_operations *op = comm->operations;
    if (comm->rank == 0) {
        expect(o, op->send_start(comm, &message, data, 8, 1, &err) == 0);
        while (message.moved == 0)
            expect(o, op->poll(comm, &err) == 0);
        return;
    }
    int rc = op->receive_start(comm, &message, data, 4, 0, &err);
    while (rc == 0)
        rc = op->poll(comm, &err);
    expect(o, comm->broken && strstr(err.text, "rank 0 is longer than"));
}

static void test_too_long(void **state)
{
    (void)state;
    struct outcome o = {0};
    struct dt_comm alone;
    struct dt_message message;
    struct dt_error err;
    real data = 0;
    ranks_run(2, too_long, &o);
    assert_int_equal(o.bad, 0);
    dt_comm_single_open(&alone);
    assert_int_equal(alone.operations->send_start(&alone, &message, &data, 1, 1, &err), -1);
    assert_non_null(strstr(err.text, "one rank alone"));
    assert_int_equal(alone.operations->receive_start(&alone, &message, &data, 1, 1, &err), -1);
    alone.operations->close(&alone);
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
        cmocka_unit_test(test_slices),   cmocka_unit_test(test_operations),
        cmocka_unit_test(test_many),     cmocka_unit_test(test_groups),
        cmocka_unit_test(test_messages), cmocka_unit_test(test_detour),
        cmocka_unit_test(test_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
