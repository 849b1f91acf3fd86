/* SPDX-License-Identifier: Apache-2.0 */
/* Comparison of parameters between ranks: the odd rank is named, with its node, also when it is
 * rank 0. The other ranks are played by an allgather of this test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "dp.h"

enum { RANKS = 8, COUNT = 1000 };

static int odd_rank; /* whose checksum differs; -1: none */

static int allgather(struct dt_comm *comm, const void *mine, void *all, size_t bytes,
                     struct dt_error *err)
{
    (void)err;
    for (int i = 0; i < comm->size; i++)
        memcpy((char *)all + (size_t)i * bytes, mine, bytes);
    if (odd_rank >= 0) {
        char *entry = (char *)all + (size_t)odd_rank * bytes;
        uint64_t sum;
        memcpy(&sum, entry, sizeof sum);
        sum ^= 1;
        memcpy(entry, &sum, sizeof sum);
        snprintf(entry + sizeof sum, 64, "p5-%d", odd_rank);
        memcpy(entry + sizeof sum + 64, &odd_rank, sizeof odd_rank);
    }
    return 0;
}

static int check(int ranks, int odd, struct dt_error *err)
{
    static const struct dt_comm_operations operations = {.allgather = allgather};
    static const struct dt_layout layout = {.total = COUNT};
    static real params[COUNT];
    struct dt_comm comm = {.size = ranks, .operations = &operations};
    struct dt_dp dp = {.replicas = {&comm, &comm}, .layout = &layout};
    odd_rank = odd;
    return dt_dp_check(&dp, params, err);
}

static void test_equal(void **state)
{
    (void)state;
    struct dt_error err;
    assert_int_equal(check(1, -1, &err), 0);
    assert_int_equal(check(RANKS, -1, &err), 0);
}

static void test_odd_rank(void **state)
{
    (void)state;
    for (int odd = 0; odd < RANKS; odd++) {
        struct dt_error err;
        char expected[64];
        assert_int_equal(check(RANKS, odd, &err), -1);
        snprintf(expected, sizeof expected, "parameters of rank %d on p5-%d differ", odd, odd);
        assert_non_null(strstr(err.text, expected));
        assert_non_null(strstr(err.text, "7 of 8 ranks"));
    }
}

/* With two there is no majority, so both are named. */
static void test_two(void **state)
{
    (void)state;
    struct dt_error err;
    assert_int_equal(check(2, 1, &err), -1);
    assert_non_null(strstr(err.text, "rank 0 on "));
    assert_non_null(strstr(err.text, "rank 1 on p5-1 differ"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal),
        cmocka_unit_test(test_odd_rank),
        cmocka_unit_test(test_two),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
