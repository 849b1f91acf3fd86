/* SPDX-License-Identifier: Apache-2.0 */
/* Which losses are taken for a spike: none before the window is full, none of a usual size, and none
 * of a loss that is at rest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "spike.h"

static void test_spike(void **state)
{
    (void)state;
    struct dt_spike spike = {.count = 0};
    for (int i = 0; i < DT_SPIKE_WINDOW; i++) {
        assert_true(dt_spike_away(&spike, 100) == 0); /* too early */
        dt_spike_note(&spike, i % 2 ? 3.1 : 2.9);
    }
    double away = dt_spike_away(&spike, 3.5); /* deviation 0.1 about 3 */
    assert_true(away > 4.99 && away < 5.01);
    assert_true(dt_spike_away(&spike, 1) < 0);
    for (int i = 0; i < DT_SPIKE_WINDOW; i++) /* the old ones leave the window */
        dt_spike_note(&spike, 2);
    assert_true(dt_spike_away(&spike, 2.001) < 1);
    assert_true(dt_spike_away(&spike, 2.1) > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_spike)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
