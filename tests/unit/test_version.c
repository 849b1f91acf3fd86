/* SPDX-License-Identifier: Apache-2.0 */
/* Order of the version texts that libfabric, NCCL, aws-ofi-nccl, drivers and kernels carry. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "env/env.h"

static int sign(int value)
{
    return (value > 0) - (value < 0);
}

static void check(const char *a, const char *b, int want)
{
    if (sign(dt_version_compare(a, b)) != want || sign(dt_version_compare(b, a)) != -want)
        fail_msg("'%s' against '%s': %d and %d, expected %d", a ? a : "NULL", b ? b : "NULL",
                 dt_version_compare(a, b), dt_version_compare(b, a), want);
}

static void test_equal(void **state)
{
    (void)state;
    check("1.9", "1.9", 0);
    check("1.9", "1.9.0", 0);
    check("1.09", "1.9", 0);
    check("v1.7.3-aws", "1.7.3", 0);
    check("1.9.0-aws", "1.9", 0);
    check("", NULL, 0);
    check("", "0", 0);
}

/* Each is newer than the one before; all pairs are tried, so the order is consistent. */
static void test_ladder(void **state)
{
    static const char *const ladder[] = {
        "0.9",
        "1.2.0~rc1",
        "1.2",
        "1.9",
        "1.10",
        "1.16.1",
        "1.16.1amzn3.0",
        "1.17.0",
        "1.18.2",
        "1.22.0rc1",
        "1.22.0rc2",
        "1.22.0",
        "1.22.0amzn3.0",
        "1.22.0amzn4.0",
        "1.22.0amzn10.0",
        "1.22.1",
        "2.1.0amzn5.0",
        "2.18.6",
        "2.19.3",
        "2.19.3-1+cuda12.2",
        "2.19.3-1+cuda12.10",
        "2.19.4",
        "5.10.205-195.804.amzn2.x86_64",
        "5.13",
        "5.15.0-1051-aws",
        "6.8.0-1015-aws",
        "550.54.15",
        "550.127.05",
        "570.133.20",
        "99999999999999999999999.1",
        "100000000000000000000000",
    };
    size_t count = sizeof(ladder) / sizeof(ladder[0]);

    (void)state;
    for (size_t i = 0; i < count; i++)
        for (size_t k = i + 1; k < count; k++)
            check(ladder[i], ladder[k], -1);
}

static void test_odd_texts(void **state)
{
    (void)state;
    check("3.1.0g", "3.1.0", 1);
    check("garbage", "1.0", -1);
    check("1.0.", "1.0", 0);
    check("1..2", "1.2", -1);
    check("v", "1", -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal),
        cmocka_unit_test(test_ladder),
        cmocka_unit_test(test_odd_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
