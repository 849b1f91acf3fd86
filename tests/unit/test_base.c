/* SPDX-License-Identifier: Apache-2.0 */
/* Errors, buffers and small files below a root. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/root.h"

static void error_is_printable_and_bounded(void **state)
{
    (void)state;
    struct dt_error err;
    assert_int_equal(dt_error_set(&err, "node '%s'", "a\x1b[31m\nb"), -1);
    assert_string_equal(err.text, "node 'a?[31m?b'");

    char longer[2000];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    dt_error_set(&err, "%s", longer);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    assert_string_equal(err.text + strlen(err.text) - 3, "...");

    dt_error_set(&err, "no such file");
    dt_error_prefix(&err, "%s", "dt.conf");
    assert_string_equal(err.text, "dt.conf: no such file");
    assert_int_equal(dt_error_set(NULL, "nobody listens"), -1);
}

static void buffer_grows_and_is_taken(void **state)
{
    (void)state;
    struct dt_buf buf = DT_BUF_INIT;
    char *empty = dt_buf_take(&buf);
    assert_string_equal(empty, "");
    free(empty);
    for (int i = 0; i < 1000; i++)
        dt_buf_printf(&buf, "%d,", i);
    assert_false(buf.failed);
    char *text = dt_buf_take(&buf);
    assert_int_equal(strlen(text), 10 * 2 + 90 * 3 + 900 * 4);
    assert_null(buf.data);
    free(text);

    dt_buf_append(&buf, "x", SIZE_MAX / 2);
    assert_true(buf.failed);
    dt_buf_puts(&buf, "later writes are ignored");
    assert_null(dt_buf_take(&buf));
}

/* What is printed may just fit, or miss by one. */
static void buffer_holds_what_is_printed(void **state)
{
    (void)state;
    char word[300];
    for (int length = 0; length < (int)sizeof word; length++) {
        struct dt_buf buf = DT_BUF_INIT;
        memset(word, 'x', sizeof word);
        word[length] = '\0';
        dt_buf_printf(&buf, "<%s", word);
        dt_buf_printf(&buf, "%s>", word);
        assert_int_equal(buf.len, 2 * length + 2);
        assert_int_equal(strlen(buf.data), buf.len);
        assert_int_equal(buf.data[0], '<');
        assert_int_equal(buf.data[buf.len - 1], '>');
        dt_buf_fini(&buf);
    }
    const long long numbers[] = {0, 7, -1, 10, LLONG_MAX, LLONG_MIN};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct dt_buf buf = DT_BUF_INIT;
        char expected[32];
        snprintf(expected, sizeof expected, "%lld", numbers[i]);
        dt_buf_number(&buf, numbers[i]);
        assert_string_equal(buf.data, expected);
        dt_buf_fini(&buf);
    }
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void small_files_stay_below_the_root(void **state)
{
    (void)state;
    char dir[] = "/tmp/dt-test-root-XXXXXX";
    assert_non_null(mkdtemp(dir));
    char path[128];
    snprintf(path, sizeof path, "%s/sys", dir);
    assert_int_equal(mkdir(path, 0755), 0);
    snprintf(path, sizeof path, "%s/sys/number", dir);
    write_file(path, " 0x10\n");
    snprintf(path, sizeof path, "%s/sys/text", dir);
    write_file(path, "12 apples\n");
    snprintf(path, sizeof path, "%s/sys/absolute", dir);
    assert_int_equal(symlink("/sys/number", path), 0);
    snprintf(path, sizeof path, "%s/sys/escape", dir);
    assert_int_equal(symlink("../../../../../../etc/hostname", path), 0);

    struct dt_error err;
    struct dt_root root;
    assert_int_equal(dt_root_init(&root, dir, &err), 0);
    assert_true(root.fake);
    long long value = 0;
    assert_int_equal(dt_root_read_long(&root, &value, "sys/%s", "number"), 0);
    assert_int_equal(value, 16);
    /* an absolute link means the root's own tree */
    assert_int_equal(dt_root_read_long(&root, &value, "sys/absolute"), 0);
    assert_int_equal(dt_root_read_long(&root, &value, "sys/text"), -EINVAL);
    char text[64];
    assert_int_equal(dt_root_read(&root, text, sizeof text, "sys/text"), 9);
    assert_string_equal(text, "12 apples");
    assert_int_equal(dt_root_read(&root, text, 5, "sys/text"), -EFBIG);
    assert_int_equal(dt_root_read(&root, text, sizeof text, "sys/none"), -ENOENT);
    assert_int_equal(dt_root_read(&root, text, sizeof text, "sys/escape"), -ENOENT);
    assert_true(dt_root_exists(&root, "sys/number"));
    assert_false(dt_root_exists(&root, "sys/escape"));
    assert_int_equal(dt_root_readlink(&root, text, sizeof text, "sys/absolute"), 11);
    assert_int_equal(dt_root_readlink(&root, text, sizeof text, "sys/text"), -EINVAL);

    char **names;
    assert_int_equal(dt_root_list(&root, &names, "sys"), 4);
    assert_string_equal(names[0], "absolute");
    dt_names_free(names);
    assert_int_equal(dt_root_list(&root, &names, "nothing"), -ENOENT);
    dt_root_fini(&root);

    /* the machine's own root answers the same, by shorter ways */
    assert_int_equal(dt_root_init(&root, NULL, &err), 0);
    assert_false(root.fake);
    assert_true(dt_root_exists(&root, "%s/sys/number", dir + 1));
    assert_true(dt_root_exists(&root, "%s/sys", dir + 1));
    assert_false(dt_root_exists(&root, "%s/sys/absolute", dir + 1)); /* leads to /sys/number */
    assert_false(dt_root_exists(&root, "%s/sys/none", dir + 1));
    assert_int_equal(dt_root_readlink(&root, text, sizeof text, "%s/sys/absolute", dir + 1), 11);
    assert_string_equal(text, "/sys/number");
    assert_int_equal(dt_root_readlink(&root, text, 11, "%s/sys/absolute", dir + 1), -EFBIG);
    assert_int_equal(dt_root_readlink(&root, text, sizeof text, "%s/sys/text", dir + 1), -EINVAL);
    assert_int_equal(dt_root_readlink(&root, text, sizeof text, "%s/sys/none", dir + 1), -ENOENT);
    dt_root_fini(&root);

    assert_int_equal(dt_root_init(&root, "/no/such/root", &err), -1);
    assert_non_null(strstr(err.text, "/no/such/root"));

    const char *const files[] = {"number", "text", "absolute", "escape"};
    for (size_t i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "%s/sys/%s", dir, files[i]);
        unlink(path);
    }
    snprintf(path, sizeof path, "%s/sys", dir);
    rmdir(path);
    rmdir(dir);
}

static void names_are_sorted_as_people_count(void **state)
{
    (void)state;
    char dir[] = "/tmp/dt-test-root-XXXXXX";
    assert_non_null(mkdtemp(dir));
    const char *const made[] = {"gpu10", "gpu2", "gpu1"};
    char path[128];
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, made[i]);
        write_file(path, "");
    }
    struct dt_root root;
    assert_int_equal(dt_root_init(&root, dir, NULL), 0);
    char **names;
    assert_int_equal(dt_root_list(&root, &names, "."), 3);
    assert_string_equal(names[0], "gpu1");
    assert_string_equal(names[1], "gpu2");
    assert_string_equal(names[2], "gpu10");
    assert_null(names[3]);
    dt_names_free(names);
    dt_root_fini(&root);
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, made[i]);
        unlink(path);
    }
    rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(error_is_printable_and_bounded),
        cmocka_unit_test(buffer_grows_and_is_taken),
        cmocka_unit_test(buffer_holds_what_is_printed),
        cmocka_unit_test(small_files_stay_below_the_root),
        cmocka_unit_test(names_are_sorted_as_people_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
