/* SPDX-License-Identifier: Apache-2.0 */
/* Node lists: what Slurm prints, what nobody should write, and that compression loses no name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/hostlist.h"

/* Names joined by blanks; caller frees. */
static char *expanded(const char *text)
{
    struct dt_hostlist list;
    struct dt_error err = {""};
    struct dt_buf out = DT_BUF_INIT;
    if (dt_hostlist_parse(&list, text, &err))
        fail_msg("\"%s\" was refused: %s", text, err.text);
    for (size_t i = 0; i < list.count; i++)
        dt_buf_printf(&out, "%s%s", i ? " " : "", list.names[i]);
    dt_hostlist_fini(&list);
    return dt_buf_take(&out);
}

static void expands_to(const char *text, const char *names)
{
    char *got = expanded(text);
    assert_string_equal(got, names);
    free(got);
}

static void refused(const char *text, const char *word)
{
    struct dt_hostlist list;
    struct dt_error err = {""};
    assert_int_equal(dt_hostlist_parse(&list, text, &err), -1);
    assert_int_equal(list.count, 0);
    assert_null(list.names);
    if (!strstr(err.text, word))
        fail_msg("\"%s\" has no \"%s\"", err.text, word);
}

static void test_expansion(void **state)
{
    (void)state;
    expands_to("login", "login");
    expands_to("b,a,b", "b a b");
    expands_to("p5-[1-3,007],login", "p5-1 p5-2 p5-3 p5-007 login");
    expands_to("n[08-11]", "n08 n09 n10 n11");
    expands_to("n[9-11]", "n9 n10 n11");
    expands_to("n[099-101]", "n099 n100 n101");
    expands_to("r[1-2]n[1-2]", "r1n1 r1n2 r2n1 r2n2");
    expands_to("r[1-2]-x,y[3]", "r1-x r2-x y3");
    expands_to("ip-10-0-0-[1-2].ec2.internal", "ip-10-0-0-1.ec2.internal ip-10-0-0-2.ec2.internal");
    expands_to("queue-dy-p5_48xl-[1-2]", "queue-dy-p5_48xl-1 queue-dy-p5_48xl-2");
    expands_to("[1-2]", "1 2");
}

static void test_refusals(void **state)
{
    (void)state;
    refused("", "empty");
    refused(",", "empty");
    refused("a,", "empty");
    refused("a,,b", "empty");
    refused("n[", "without ']'");
    refused("n[1", "without ']'");
    refused("n[1,b", "without ']'");
    refused("n]", "character");
    refused("n[]", "number is missing");
    refused("n[1,]", "number is missing");
    refused("n[1-]", "number is missing");
    refused("n[-1]", "number is missing");
    refused("n[1-2-3]", "neither");
    refused("n[a]", "number is missing");
    refused("n[[1]]", "number is missing");
    refused("n[3-1]", "backwards");
    refused("a b", "character");
    refused("a\nb", "character");
    refused("(null)", "character");
    refused("n[1-1234567890123456789]", "18 digits");
    refused("n[0-65536]", "65536 names");
    refused("n[0-999999999999999999]", "65536 names");
    refused("n[0-300]m[0-300]", "65536 names");
}

static void test_limits(void **state)
{
    (void)state;
    struct dt_hostlist list;
    struct dt_error err;
    assert_int_equal(dt_hostlist_parse(&list, "n[0-65535]", &err), 0);
    assert_int_equal(list.count, 65536);
    char *text = dt_hostlist_compress(list.names, list.count);
    assert_string_equal(text, "n[0-65535]");
    free(text);
    dt_hostlist_fini(&list);

    size_t size = (1u << 20) + 2;
    char *huge = malloc(size);
    assert_non_null(huge);
    memset(huge, 'a', size);
    huge[size - 1] = '\0';
    refused(huge, "longer than 1048576 bytes");
    huge[2000] = '\0';
    refused(huge, "longer than 1024 bytes");
    free(huge);
}

static void compresses_to(const char *names, const char *expected)
{
    struct dt_hostlist list;
    struct dt_error err = {""};
    assert_int_equal(dt_hostlist_parse(&list, names, &err), 0);
    char *text = dt_hostlist_compress(list.names, list.count);
    assert_non_null(text);
    assert_string_equal(text, expected);
    free(text);
    dt_hostlist_fini(&list);
}

static void test_compression(void **state)
{
    (void)state;
    compresses_to("a", "a");
    compresses_to("p5-7", "p5-7");
    compresses_to("p5-3,p5-1,p5-2", "p5-[1-3]");
    compresses_to("p5-3,p5-1,p5-2,p5-2,p5-9", "p5-[1-3,9]");
    compresses_to("n9,n10,n11", "n[9-11]");
    compresses_to("n09,n10,n11", "n[09-11]");
    compresses_to("n099,n100,n101", "n[099-101]");
    compresses_to("n1,n01,n2,n02", "n[1-2,01-02]");
    compresses_to("n1,login,n2,m2", "login,m2,n[1-2]");
    compresses_to("n,n1,n2", "n,n[1-2]");
    compresses_to("a-x,a-y", "a-x,a-y");
    compresses_to("r1n1,r1n2,r2n1", "r1n[1-2],r2n1");
    char *none = dt_hostlist_compress(NULL, 0);
    assert_string_equal(none, "");
    free(none);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* For any list: expand(compress(names)) is the set of the names. */
static void test_round_trip(void **state)
{
    (void)state;
    unsigned seed = 7;
    for (int round = 0; round < 300; round++) {
        char store[64][16];
        char *names[64];
        size_t count = 1 + (size_t)rand_r(&seed) % 64;
        for (size_t i = 0; i < count; i++) {
            snprintf(store[i], sizeof store[i], "%c%0*d", "ab"[rand_r(&seed) % 2],
                     1 + rand_r(&seed) % 3, rand_r(&seed) % 120);
            names[i] = store[i];
        }
        char *text = dt_hostlist_compress(names, count);
        struct dt_hostlist list;
        struct dt_error err = {""};
        if (dt_hostlist_parse(&list, text, &err))
            fail_msg("%s: %s", text, err.text);
        qsort(names, count, sizeof *names, by_name);
        qsort(list.names, list.count, sizeof *list.names, by_name);
        size_t unique = 0;
        for (size_t i = 0; i < count; i++) {
            if (i && !strcmp(names[i], names[i - 1]))
                continue;
            assert_true(unique < list.count);
            assert_string_equal(list.names[unique++], names[i]);
        }
        assert_int_equal(unique, list.count);
        dt_hostlist_fini(&list);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_expansion),  cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_limits),     cmocka_unit_test(test_compression),
        cmocka_unit_test(test_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
