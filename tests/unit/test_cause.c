/* SPDX-License-Identifier: Apache-2.0 */
/* The last words of a rank, and which of many failures was the first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cause/cause.h"

static const char traceback[] = "Traceback (most recent call last):\n"
                                "  File \"train.py\", line 9, in <module>\n"
                                "    main()\n"
                                "ValueError: boom\n";

static void add(struct dt_tail *tail, const char *text, long long now)
{
    dt_tail_add(tail, text, strlen(text), now);
}

static void words_are(const struct dt_tail *tail, const char *expected)
{
    struct dt_buf text = DT_BUF_INIT;
    dt_tail_words(tail, 4096, &text);
    assert_string_equal(text.data ? text.data : "", expected);
    dt_buf_fini(&text);
}

static void exception_is(const struct dt_tail *tail, const char *expected)
{
    struct dt_buf text = DT_BUF_INIT;
    dt_tail_exception(tail, &text);
    assert_string_equal(text.data ? text.data : "", expected);
    dt_buf_fini(&text);
}

static void last_lines(void **state)
{
    (void)state;
    struct dt_tail *tail = calloc(1, sizeof *tail);
    words_are(tail, "");
    exception_is(tail, "");
    add(tail, "a\nb\x1b[31mc\r\n\n", 1);
    words_are(tail, "a\nb?[31mc");
    for (int i = 0; i < 30000; i++) {
        char line[32];
        snprintf(line, sizeof line, "line %d\n", i);
        add(tail, line, 2);
    }
    struct dt_buf text = DT_BUF_INIT;
    dt_tail_words(tail, 4096, &text);
    assert_non_null(strstr(text.data, "line 29988\n"));
    assert_null(strstr(text.data, "line 29987\n"));
    assert_string_equal(text.data + text.len - 10, "line 29999");
    dt_buf_fini(&text);
    assert_int_equal(tail->traceback_ns, 0);
    free(tail);
}

static void tracebacks(void **state)
{
    (void)state;
    struct dt_tail *tail = calloc(1, sizeof *tail);
    add(tail, "warming up\n", 1);
    add(tail, traceback, 5);
    add(tail, "retrying\n", 6);
    assert_int_equal(tail->traceback_ns, 5);
    for (const char *at = traceback; *at; at++) /* byte by byte, much later */
        dt_tail_add(tail, at, 1, 9000000000);
    add(tail, "INFO goodbye\nINFO really\n", 9000000001);
    assert_true(tail->traceback_ns == 9000000000);
    exception_is(tail, "ValueError: boom");
    words_are(tail, "Traceback (most recent call last):\n"
                    "  File \"train.py\", line 9, in <module>\n"
                    "    main()\n"
                    "ValueError: boom\nINFO goodbye\nINFO really");
    add(tail, "\nDuring handling of the above exception, another exception occurred:\n\n",
        9000000002);
    add(tail, "[rank3]: ", 9000000003);
    add(tail, traceback, 9000000003);
    assert_true(tail->traceback_ns == 9000000000); /* one chain */
    struct dt_buf text = DT_BUF_INIT;
    dt_tail_words(tail, 4096, &text);
    assert_int_equal(strncmp(text.data, traceback, 40), 0);
    assert_non_null(strstr(text.data, "[rank3]: Traceback"));
    assert_null(strstr(text.data, "retrying"));
    dt_buf_clear(&text);
    dt_tail_words(tail, 20, &text);
    assert_string_equal(text.data, "...\nValueError: boom");
    dt_buf_fini(&text);
    free(tail);
}

static void prefixed_tracebacks(void **state)
{
    (void)state;
    struct dt_tail *tail = calloc(1, sizeof *tail);
    add(tail,
        "[rank1]: Traceback (most recent call last):\n"
        "[rank1]:   File \"ddp.py\", line 10, in <module>\n"
        "[rank1]:     ^^^^^^\n"
        "[rank1]: ValueError: boom at 1\n[rank1]: bye\n",
        1);
    exception_is(tail, "ValueError: boom at 1");
    free(tail);
}

static void a_header_that_breaks(void **state)
{
    (void)state;
    struct dt_tail *tail = calloc(1, sizeof *tail);
    add(tail, "TTraceback (most recent call lasT", 1);
    assert_int_equal(tail->traceback_ns, 0);
    add(tail, "TraTraceback (most recent call last)", 2);
    assert_int_equal(tail->traceback_ns, 2);
    free(tail);
}

enum { SEGV = 11, EXIT1 = 1 << 8 };

static void the_first(void **state)
{
    (void)state;
    struct dt_failure f[4] = {
        {.rank = 0, .status = EXIT1, .died_ns = 1000},
        {.rank = 1, .status = EXIT1, .died_ns = 900},
        {.rank = 2, .status = EXIT1, .died_ns = 1100},
        {.rank = 3, .status = SEGV, .died_ns = 900},
    };
    assert_int_equal(dt_cause_first(f, 0), -1);
    assert_int_equal(dt_cause_first(f, 3), 1);
    assert_int_equal(dt_cause_first(f, 4), 3); /* in the same moment: the crash */
    f[2].said_ns = 800;                        /* slow to die, but the first to fail */
    assert_int_equal(dt_cause_first(f, 4), 2);
    f[2].flags = DT_FAILURE_VICTIM;
    assert_int_equal(dt_cause_first(f, 4), 3);
    f[2].flags = DT_FAILURE_STOPPED; /* ended by us meanwhile: still the cause */
    assert_int_equal(dt_cause_first(f, 4), 2);
    f[2].said_ns = 950; /* its traceback came after the first failure */
    assert_int_equal(dt_cause_first(f, 4), 3);
    f[2].flags = 0;
    f[2].died_ns = 200000000000;
    f[2].said_ns = 1; /* an error that it got over */
    assert_int_equal(dt_cause_first(f, 4), 3);
    for (int i = 0; i < 4; i++)
        f[i].flags = DT_FAILURE_VICTIM;
    assert_int_equal(dt_cause_first(f, 4), 3); /* nothing but victims: the first of them */
    for (int i = 0; i < 4; i++)
        f[i].flags = DT_FAILURE_STOPPED;
    assert_int_equal(dt_cause_first(f, 4), 3);
}

static void victims(void **state)
{
    (void)state;
    assert_true(
        dt_cause_is_victim("RuntimeError: [../gloo/pair.cc:598] Connection closed by peer"));
    assert_true(dt_cause_is_victim("x\nncclRemoteError: A call failed possibly due to"));
    assert_false(dt_cause_is_victim("ValueError: boom"));
    assert_false(dt_cause_is_victim(""));
}

static void error_file_says(const char *json, const char *message, const char *callstack)
{
    struct dt_buf m = DT_BUF_INIT, c = DT_BUF_INIT;
    assert_int_equal(dt_cause_error_file(json, &m, &c), message != NULL);
    assert_string_equal(m.data ? m.data : "", message ? message : "");
    assert_string_equal(c.data ? c.data : "", callstack);
    dt_buf_fini(&m);
    dt_buf_fini(&c);
}

static void error_files(void **state)
{
    (void)state;
    error_file_says("{\"message\": {\"message\": \"ValueError: \\u00fc \\\"b\\\" \\\\\", "
                    "\"extraInfo\": {\"py_callstack\": \"Traceback\\n  File\\n\", "
                    "\"timestamp\": \"1731480000\"}, \"errorCode\": 3}}",
                    "ValueError: \xc3\xbc \"b\" \\", "Traceback\n  File\n");
    error_file_says("{\"message\": \"plain text\", \"timestamp\": 1731480000}", "plain text", "");
    error_file_says("{\"message\" : 5}", NULL, "");
    error_file_says("{\"message\": \"never ends", NULL, "");
    error_file_says("{\"message\": \"\\", NULL, "");
    error_file_says("{\"x\": \"message\"}", NULL, "");
    error_file_says("", NULL, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(last_lines),          cmocka_unit_test(tracebacks),
        cmocka_unit_test(prefixed_tracebacks), cmocka_unit_test(a_header_that_breaks),
        cmocka_unit_test(the_first),           cmocka_unit_test(victims),
        cmocka_unit_test(error_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
