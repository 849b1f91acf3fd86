/* SPDX-License-Identifier: Apache-2.0 */
/* Helpers of the plugin: started only where they can be trusted, asked with a deadline. */
#include "spank_fake.h"

static char directory[64];

static int make_directory(void **state)
{
    (void)state;
    strcpy(directory, "/tmp/dt-test-spank-XXXXXX");
    return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
    (void)state;
    char path[96];
    snprintf(path, sizeof path, "%s/helper", directory);
    unlink(path);
    return rmdir(directory);
}

static int start(struct helper *helper, const char *script, mode_t mode, struct sentence *why)
{
    char path[96];
    snprintf(path, sizeof path, "%s/helper", directory);
    FILE *file = fopen(path, "we");
    fprintf(file, "#!/bin/sh\n%s\n", script);
    fclose(file);
    chmod(path, mode);
    char *argv[] = {(char *)"helper", NULL}, *environ_[] = {(char *)"PATH=/usr/bin:/bin", NULL};
    struct helper_start how = {.directory = directory,
                               .name = "helper",
                               .argv = argv,
                               .environ = environ_,
                               .plan = -1,
                               .owner = getuid()};
    return helper_start(helper, &how, why);
}

static void a_helper_answers(void **state)
{
    (void)state;
    struct helper helper;
    struct sentence why;
    struct text text = {0};
    char *line;
    setenv("SECRET", "1", 1);
    assert_int_equal(start(&helper, "read a; echo \"$a$SECRET\"; echo two", 0755, &why), 0);
    text_puts(&text, "one\n");
    assert_int_equal(helper_tell(&helper, &text, now_ms() + 5000, &why), 0);
    assert_int_equal(helper_ask(&helper, &line, now_ms() + 5000, &why), 0);
    assert_string_equal(line, "one");
    free(line);
    assert_int_equal(helper_ask(&helper, &line, now_ms() + 5000, &why), 0);
    assert_string_equal(line, "two");
    free(line);
    text_fini(&text);
    helper_stop(&helper, 1000, true);
}

static void ask_fails(const char *script, int ms, const char *expected)
{
    struct helper helper;
    struct sentence why;
    char *line;
    assert_int_equal(start(&helper, script, 0755, &why), 0);
    assert_int_equal(helper_ask(&helper, &line, now_ms() + ms, &why), -1);
    if (!strstr(why.text, expected))
        fail_msg("'%s' lacks '%s'", why.text, expected);
    helper_stop(&helper, 0, true);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child is left */
}

static void a_helper_that_fails_is_named(void **state)
{
    (void)state;
    ask_fails("sleep 60", 50, "did not answer in 0.1 s and was killed");
    ask_fails("kill -SEGV $$", 5000, "killed by signal 11");
    ask_fails("exit 3", 5000, "ended with code 3");
    ask_fails("exec 1>&-; sleep 60", 5000, "stopped answering");
    ask_fails("head -c 100000 /dev/zero", 5000, "more than 65536 bytes");
}

static void a_helper_that_others_can_write_is_not_started(void **state)
{
    (void)state;
    struct helper helper;
    struct sentence why;
    assert_int_equal(start(&helper, "echo", 0777, &why), -1);
    assert_non_null(strstr(why.text, "writable by everyone"));
    assert_int_equal(start(&helper, "echo", 0775, &why), -1);
    assert_non_null(strstr(why.text, "writable by its group"));
    chmod(directory, 0777);
    assert_int_equal(start(&helper, "echo", 0755, &why), -1);
    assert_non_null(strstr(why.text, directory));
    chmod(directory, 0700);
    if (getuid() == 0) {
        assert_int_equal(chown(directory, 12345, 0), 0);
        assert_int_equal(start(&helper, "echo", 0755, &why), -1);
        assert_non_null(strstr(why.text, "owned by uid 12345"));
        assert_int_equal(chown(directory, 0, 0), 0);
    }
}

#define HELPER(name) cmocka_unit_test_setup_teardown(name, make_directory, remove_directory)

int main(void)
{
    const struct CMUnitTest tests[] = {
        HELPER(a_helper_answers),
        HELPER(a_helper_that_fails_is_named),
        HELPER(a_helper_that_others_can_write_is_not_started),
    };
    return cmocka_run_group_tests(tests, NULL, clear_environ);
}
