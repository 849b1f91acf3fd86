/* SPDX-License-Identifier: Apache-2.0 */
/* lib/plan/read.c: a plan is read as it was written, and nothing else is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "plan/plan.h"

static int take(void *argument, const struct dt_plan_line *line, struct dt_error *err)
{
    struct dt_buf *out = argument;
    (void)err;
    if (line->all)
        dt_buf_puts(out, "all");
    else
        dt_buf_printf(out, "%zu", line->rank);
    dt_buf_printf(out, " %d %s", (int)line->verb, line->name);
    if (line->value)
        dt_buf_printf(out, "=%s", line->value);
    dt_buf_puts(out, ";");
    return 0;
}

static void is(const char *text, const char *expected)
{
    struct dt_buf out = DT_BUF_INIT;
    struct dt_error err = {""};
    int rc = dt_plan_read(text, strlen(text), take, &out, &err);
    if (rc)
        fail_msg("%s", err.text);
    assert_string_equal(out.data ? out.data : "", expected);
    dt_buf_fini(&out);
}

static void refused(const char *text, size_t len, const char *why)
{
    struct dt_buf out = DT_BUF_INIT;
    struct dt_error err = {""};
    assert_int_equal(dt_plan_read(text, len, take, &out, &err), -1);
    if (!strstr(err.text, why))
        fail_msg("expected '%s' in: %s", why, err.text);
    dt_buf_fini(&out);
}

static void as_written(void **state)
{
    struct dt_buf plan = DT_BUF_INIT;
    (void)state;
    dt_plan_begin(&plan);
    dt_plan_all_set(&plan, "A", "a b%\n");
    dt_plan_all_default(&plan, "B", "");
    dt_plan_all_unset(&plan, "C");
    dt_plan_env_set(&plan, 3, "D", "d");
    dt_plan_env_default(&plan, -1, "E", "e");
    dt_plan_env_unset(&plan, -1, "F");
    dt_plan_all_bind_set(&plan, "G", "g=h");
    dt_plan_rank_bind_default(&plan, 1, "H", "h");
    dt_plan_rank_found(&plan, 0, "0-7");
    dt_plan_rank_cpus(&plan, 12, "0-3,8");
    dt_plan_rank_memory(&plan, 12, "bind", "0,1");
    dt_plan_rank_memory(&plan, 12, "local", "");
    dt_plan_rank_say(&plan, 0, "one two");
    dt_plan_end(&plan);
    char expected[512];
    snprintf(expected, sizeof expected,
             "all %d A=a b%%\n;all %d B=;all %d C;3 %d D=d;all %d E=e;all %d F;all %d G=g=h;"
             "1 %d H=h;0 %d 0-7;12 %d 0-3,8;12 %d bind=0,1;12 %d local=;0 %d one two;",
             DT_PLAN_SET, DT_PLAN_DEFAULT, DT_PLAN_UNSET, DT_PLAN_ENV_SET, DT_PLAN_ENV_DEFAULT,
             DT_PLAN_ENV_UNSET, DT_PLAN_BIND_SET, DT_PLAN_BIND_DEFAULT, DT_PLAN_FOUND, DT_PLAN_CPUS,
             DT_PLAN_MEMORY, DT_PLAN_MEMORY, DT_PLAN_SAY);
    is(plan.data, expected);
    dt_buf_fini(&plan);
}

static void not_a_plan(void **state)
{
    static const char *const lines[] = {
        "all",
        "rank",
        "rank x set A b",
        "rank 1x set A b",
        "rank -1 set A b",
        "rank 1 set A",
        "all unset A b",
        "all cpus 0",
        "all fly A b",
        "rank 0 cpus",
        "all set A %0",
        "all set %00 b",
        "",
        "rank 0 memory local",
    };
    char text[256];
    (void)state;
    refused("", 0, "does not begin");
    refused("dt-plan 2\nend\n", 14, "does not begin");
    refused("dt-plan 1\nall unset A\n", 22, "breaks off in line 2");
    refused("dt-plan 1\nend", 13, "breaks off in line 2");
    refused("dt-plan 1\nall unset A\0B\nend\n", 28, "line 2 of the plan");
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        snprintf(text, sizeof text, "dt-plan 1\nall unset A\n%s\nend\n", lines[i]);
        refused(text, strlen(text), "line 3 of the plan can not be understood");
    }
}

static int stop(void *argument, const struct dt_plan_line *line, struct dt_error *err)
{
    (void)line;
    ++*(int *)argument;
    return dt_error_set(err, "enough");
}

static void the_caller_stops(void **state)
{
    static const char text[] = "dt-plan 1\nall unset A\nall unset B\nend\n";
    struct dt_error err = {""};
    int count = 0;
    (void)state;
    assert_int_equal(dt_plan_read(text, strlen(text), stop, &count, &err), -1);
    assert_int_equal(count, 1);
    assert_string_equal(err.text, "enough");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_written),
        cmocka_unit_test(not_a_plan),
        cmocka_unit_test(the_caller_stops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
