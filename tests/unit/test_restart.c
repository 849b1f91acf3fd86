/* SPDX-License-Identifier: Apache-2.0 */
/* The policy of restarts: by cause, by number, by progress. */
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <setjmp.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "cause/restart.h"

#define EXIT(code) (W_EXITCODE(code, 0))

static struct dt_buf why;

static enum dt_follow decide(const struct dt_history *history, const struct dt_failure *failure)
{
    dt_buf_clear(&why);
    return dt_restart_decide(history, failure, &why);
}

static void says(const char *text)
{
    if (!why.data || !strstr(why.data, text))
        fail_msg("\"%s\" is not in \"%s\"", text, why.data ? why.data : "");
}

static void nobody_asked(void **state)
{
    (void)state;
    const struct dt_history history = {.progressed = true};
    const struct dt_failure failure = {.status = SIGKILL};
    assert_int_equal(decide(&history, &failure), DT_FOLLOW_STOP);
    assert_int_equal(why.len, 0);
}

static void by_cause(void **state)
{
    (void)state;
    static const struct {
        struct dt_failure failure;
        enum dt_follow follow;
        const char *why;
    } cases[] = {
        {{.status = SIGSEGV}, DT_FOLLOW_RESTART, NULL},
        {{.status = SIGKILL}, DT_FOLLOW_RESTART, NULL},
        {{.status = SIGKILL, .flags = DT_FAILURE_OOM},
         DT_FOLLOW_STOP,
         "memory would run out again"},
        {{.status = EXIT(1)}, DT_FOLLOW_RESTART, NULL},
        {{.status = EXIT(1), .flags = DT_FAILURE_VICTIM}, DT_FOLLOW_RESTART, NULL},
        {{.status = EXIT(93)}, DT_FOLLOW_STOP, "exit code 93"},
        {{.status = EXIT(127), .flags = DT_FAILURE_FINAL}, DT_FOLLOW_STOP, "in the same way"},
        {{.status = EXIT(75), .flags = DT_FAILURE_HANG}, DT_FOLLOW_RESTART, NULL},
        {{.status = EXIT(75), .flags = DT_FAILURE_HANG | DT_FAILURE_FINAL}, DT_FOLLOW_STOP, NULL},
        {{.status = SIGKILL, .flags = DT_FAILURE_LOST}, DT_FOLLOW_REPLACE, NULL},
        {{.status = SIGABRT, .flags = DT_FAILURE_GPU}, DT_FOLLOW_REPLACE, NULL},
    };
    const struct dt_history history = {.max = 3};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(decide(&history, &cases[i].failure), cases[i].follow);
        if (cases[i].why)
            says(cases[i].why);
    }
}

static void by_number(void **state)
{
    (void)state;
    const struct dt_failure failure = {.status = SIGKILL};
    struct dt_history history = {.max = 2, .done = 1, .progressed = true};
    assert_int_equal(decide(&history, &failure), DT_FOLLOW_RESTART);
    history.done = 2;
    assert_int_equal(decide(&history, &failure), DT_FOLLOW_STOP);
    says("all 2 of --max-restarts");
    /* a lost node is the driver's, who counts too */
    const struct dt_failure lost = {.flags = DT_FAILURE_LOST};
    assert_int_equal(decide(&history, &lost), DT_FOLLOW_REPLACE);
}

static void by_progress(void **state)
{
    (void)state;
    const struct dt_failure killed = {.status = SIGKILL};
    const struct dt_failure bug = {.status = EXIT(1),
                                   .said_ns = 5,
                                   .details = (char *)"Traceback\n  line 3\nValueError: boom\n"};
    struct dt_history history = {.max = 9};
    assert_int_equal(decide(&history, &killed), DT_FOLLOW_RESTART);
    history.done = 1;
    history.before = "exit code 1, ValueError: boom";
    assert_int_equal(decide(&history, &killed), DT_FOLLOW_STOP);
    says("no further");
    assert_int_equal(decide(&history, &bug), DT_FOLLOW_STOP);
    says("in the same way twice");
    history.progressed = true;
    assert_int_equal(decide(&history, &killed), DT_FOLLOW_RESTART);
    assert_int_equal(decide(&history, &bug), DT_FOLLOW_RESTART);
}

static void signature_of(struct dt_failure failure, const char *expected)
{
    char *text = dt_restart_signature(&failure);
    assert_string_equal(text, expected);
    free(text);
}

static void signatures(void **state)
{
    (void)state;
    signature_of((struct dt_failure){.status = SIGSEGV}, "signal 11");
    signature_of((struct dt_failure){.status = EXIT(3)}, "exit code 3");
    signature_of((struct dt_failure){.status = EXIT(1), .details = (char *)"step 17\n"},
                 "exit code 1");
    signature_of(
        (struct dt_failure){.status = EXIT(1), .said_ns = 1, .details = (char *)"a\nE: b\n\n"},
        "exit code 1, E: b");
    signature_of((struct dt_failure){.status = EXIT(1), .said_ns = 1, .details = (char *)"\n"},
                 "exit code 1");
    signature_of((struct dt_failure){.flags = DT_FAILURE_LOST}, "a lost node");
    signature_of((struct dt_failure){.flags = DT_FAILURE_HANG}, "a hang");
}

static void back_off(void **state)
{
    (void)state;
    static const double expected[] = {0, 1, 2, 4, 8, 16, 32, 60, 60};
    for (int i = 0; i < (int)(sizeof expected / sizeof *expected); i++) {
        const struct dt_history history = {.in_a_row = i};
        assert_true(dt_restart_delay(&history) == expected[i]);
    }
    const struct dt_history many = {.in_a_row = 1000000};
    assert_true(dt_restart_delay(&many) == DT_RESTART_DELAY_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_asked), cmocka_unit_test(by_cause),   cmocka_unit_test(by_number),
        cmocka_unit_test(by_progress),  cmocka_unit_test(signatures), cmocka_unit_test(back_off),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    dt_buf_fini(&why);
    return failed;
}
