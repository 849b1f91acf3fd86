/* SPDX-License-Identifier: Apache-2.0 */
/* Messages between dt-launch: what is written is read again, pieces, what is refused, clocks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "link/link.h"

static void there_and_back(void **state)
{
    (void)state;
    static char all[256];
    for (int i = 1; i < 256; i++)
        all[i - 1] = (char)i;
    static const char *const texts[] = {"", "-", "--", "%", "two words\nand a line", all};
    for (int type = 0; type < DT_LINK_TYPES; type++) {
        for (size_t t = 0; t < sizeof texts / sizeof *texts; t++) {
            struct dt_link_message out = {.type = (enum dt_link_type)type,
                                          .numbers = {0, -1, INT64_MAX, INT64_MIN, 4, 5, 6},
                                          .texts = {(char *)texts[t], "x"}};
            struct dt_link_message in;
            struct dt_buf wire = DT_BUF_INIT;
            struct dt_link_reader reader = {0};
            struct dt_error err;
            dt_link_encode(&wire, &out);
            for (size_t i = 0; i + 1 < wire.len; i++) { /* byte by byte */
                assert_int_equal(dt_link_feed(&reader, wire.data + i, 1, &err), 0);
                assert_int_equal(dt_link_next(&reader, &in, &err), 0);
            }
            assert_int_equal(dt_link_feed(&reader, "\n", 1, &err), 0);
            assert_int_equal(dt_link_next(&reader, &in, &err), 1);
            assert_int_equal(in.type, out.type);
            for (int i = 0; i < DT_LINK_NUMBERS && in.numbers[i]; i++)
                assert_true(in.numbers[i] == out.numbers[i]);
            if (in.texts[0])
                assert_string_equal(in.texts[0], texts[t]);
            dt_link_message_fini(&in);
            assert_int_equal(dt_link_next(&reader, &in, &err), 0);
            dt_link_reader_fini(&reader);
            dt_buf_fini(&wire);
        }
    }
}

static int read_one(const char *bytes, size_t len, struct dt_link_message *in)
{
    struct dt_link_reader reader = {0};
    struct dt_error err = {""};
    int result = dt_link_feed(&reader, bytes, len, &err);
    if (result == 0)
        result = dt_link_next(&reader, in, &err);
    assert_true(result != -1 || err.text[0]);
    dt_link_reader_fini(&reader);
    return result;
}

static void refused(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "\n",
        "GET / HTTP/1.1\n",
        "ping\n",
        "ping 1 2\n",
        "ping x\n",
        "ping 1 \n",
        "ping  1\n",
        "pong 1\n",
        "refuse\n",
        "refuse a b\n",
        "refuse %0\n",
        "refuse %00\n",
        "refuse %\n",
        "refuse %zz\n",
        "stop 1\n",
        "ping +1\n",
        "ping 1e3\n",
        "refuse \n",
        "ping 9223372036854775808\n",
    };
    struct dt_link_message in;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        if (read_one(lines[i], strlen(lines[i]), &in) != -1)
            fail_msg("accepted: %s", lines[i]);
    }
    assert_int_equal(read_one("ping 1\0\n", 8, &in), -1);
    size_t len = DT_LINK_LINE_MAX + 2;
    char *huge = malloc(len);
    memset(huge, 'a', len);
    assert_int_equal(read_one(huge, len, &in), -1);
    free(huge);
}

static void several_at_once(void **state)
{
    (void)state;
    struct dt_link_reader reader = {0};
    struct dt_link_message in;
    struct dt_error err;
    assert_int_equal(dt_link_feed(&reader, "ping 1\nstop\ndone 42 0\nwho", 25, &err), 0);
    assert_int_equal(dt_link_next(&reader, &in, &err), 1);
    assert_int_equal(dt_link_next(&reader, &in, &err), 1);
    assert_int_equal(in.type, DT_LINK_STOP);
    assert_int_equal(dt_link_next(&reader, &in, &err), 1);
    assert_int_equal(in.numbers[0], 42);
    assert_int_equal(dt_link_next(&reader, &in, &err), 0);
    assert_int_equal(dt_link_feed(&reader, " 7\n", 3, &err), 0);
    assert_int_equal(dt_link_next(&reader, &in, &err), 1);
    assert_int_equal(in.type, DT_LINK_WHO);
    dt_link_reader_fini(&reader);
}

/* The exchange that took least counts; a clock that is a minute old gives way. */
static void clocks(void **state)
{
    (void)state;
    const long long second = 1000000000LL;
    struct dt_link_clock clock = {0};
    dt_link_clock_add(&clock, 100, 5100, 300);
    assert_int_equal(clock.offset_ns, 4900);
    assert_int_equal(clock.error_ns, 100);
    dt_link_clock_add(&clock, 1000, 9000, 3000); /* slower: not better */
    assert_int_equal(clock.offset_ns, 4900);
    dt_link_clock_add(&clock, 4000, 9050, 4100);
    assert_int_equal(clock.offset_ns, 5000);
    assert_int_equal(clock.error_ns, 50);
    dt_link_clock_add(&clock, 61 * second, 61 * second + 7000, 61 * second + 2000);
    assert_int_equal(clock.offset_ns, 6000);
    assert_int_equal(clock.error_ns, 1000);
    dt_link_clock_add(&clock, 200 * second, 7, 199 * second); /* a clock that runs backwards */
    dt_link_clock_add(&clock, INT64_MIN, 7, INT64_MAX);
    assert_int_equal(clock.offset_ns, 6000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_and_back),
        cmocka_unit_test(refused),
        cmocka_unit_test(several_at_once),
        cmocka_unit_test(clocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
