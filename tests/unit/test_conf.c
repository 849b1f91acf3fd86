/* SPDX-License-Identifier: Apache-2.0 */
/* dt.conf: documented defaults are the real ones, untrusted files are refused, and every mistake is
 * one sentence with its line. Runs from the repository's root, as `make check` does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "conf/conf.h"
#include "paths.h"

struct scratch {
    char dir[64], path[128];
};

static void scratch_write(struct scratch *scratch, const char *text, mode_t mode)
{
    strcpy(scratch->dir, "/tmp/dt-test-conf.XXXXXX");
    assert_non_null(mkdtemp(scratch->dir));
    snprintf(scratch->path, sizeof scratch->path, "%s/dt.conf", scratch->dir);
    FILE *file = fopen(scratch->path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(scratch->path, mode), 0);
}

static void scratch_remove(const struct scratch *scratch)
{
    unlink(scratch->path);
    rmdir(scratch->dir);
}

/* The text must be refused, with a sentence that holds `expected`. */
static void assert_refused(const char *text, const char *expected)
{
    struct dt_conf conf;
    struct dt_error err = {0};
    assert_int_equal(dt_conf_parse(&conf, "dt.conf", text, strlen(text), &err), -1);
    if (!strstr(err.text, expected))
        fail_msg("'%s' does not hold '%s'", err.text, expected);
    assert_null(strchr(err.text, '\n'));
}

static void assert_equal_conf(const struct dt_conf *a, const struct dt_conf *b)
{
    assert_string_equal(a->data_directory, b->data_directory);
    assert_string_equal(a->nvml_library, b->nvml_library);
    assert_string_equal(a->cache_directory, b->cache_directory);
    assert_string_equal(a->instance_type, b->instance_type);
    assert_string_equal(a->env_rules_site, b->env_rules_site);
    assert_int_equal(a->env_on_abort, b->env_on_abort);
    assert_int_equal(a->env_on_bad_rules, b->env_on_bad_rules);
    assert_null(a->writable_paths[0]);
    assert_null(b->writable_paths[0]);
    assert_null(a->required_mounts[0]);
    assert_null(b->required_mounts[0]);
    assert_int_equal(a->min_nofile, b->min_nofile);
    assert_int_equal(a->min_memlock_mib, b->min_memlock_mib);
    assert_int_equal(a->min_shm_percent, b->min_shm_percent);
    assert_int_equal(a->min_hugepages_mib, b->min_hugepages_mib);
    assert_int_equal(a->max_clock_offset_ms, b->max_clock_offset_ms);
    assert_int_equal(a->min_memory_percent, b->min_memory_percent);
    assert_int_equal(a->min_nproc, b->min_nproc);
    assert_int_equal(a->imds_asked, b->imds_asked);
    assert_int_equal(a->maintenance_hours, b->maintenance_hours);
    assert_int_equal(a->fresh_boot_minutes, b->fresh_boot_minutes);
    assert_null(a->required_modules[0]);
    assert_null(b->required_modules[0]);
    assert_null(a->required_processes[0]);
    assert_null(b->required_processes[0]);
    assert_int_equal(a->min_free_mib, b->min_free_mib);
    assert_int_equal(a->min_free_files, b->min_free_files);
    assert_int_equal(a->max_swap_mib, b->max_swap_mib);
    assert_int_equal(a->min_huge_free_percent, b->min_huge_free_percent);
    assert_int_equal(a->max_shm_left_mib, b->max_shm_left_mib);
    assert_int_equal(a->max_zombies, b->max_zombies);
    assert_int_equal(a->deep_slower_percent, b->deep_slower_percent);
    assert_int_equal(a->max_stuck_processes, b->max_stuck_processes);
    assert_int_equal(a->probe_timeout_ms, b->probe_timeout_ms);
    assert_string_equal(a->state_directory, b->state_directory);
    assert_int_equal(a->lemon_losses, b->lemon_losses);
    assert_int_equal(a->lemon_days, b->lemon_days);
    assert_int_equal(a->reuse_seconds, b->reuse_seconds);
    assert_int_equal(a->lemon_policy, b->lemon_policy);
    assert_null(a->drain_on[0]);
    assert_null(b->drain_on[0]);
    assert_int_equal(a->drain_how, b->drain_how);
    assert_int_equal(a->drain_style, b->drain_style);
    assert_string_equal(a->drain_prefix, b->drain_prefix);
    assert_int_equal(a->drain_max_nodes, b->drain_max_nodes);
    assert_int_equal(a->drain_in_minutes, b->drain_in_minutes);
}

/* configs/dt.conf with the '#' taken from its options ("#name = value", no blank after the '#'). */
static char *documented(size_t *options)
{
    FILE *file = fopen("configs/dt.conf", "r");
    if (!file)
        fail_msg("configs/dt.conf can not be opened: run this from the repository's root");
    struct dt_buf text = DT_BUF_INIT;
    char line[256];
    *options = 0;
    while (fgets(line, sizeof line, file)) {
        bool option = line[0] == '#' && line[1] >= 'a' && line[1] <= 'z' && strchr(line, '=');
        *options += option;
        dt_buf_puts(&text, option ? line + 1 : line);
    }
    fclose(file);
    char *all = dt_buf_take(&text);
    assert_non_null(all);
    return all;
}

static void documented_defaults_are_the_real_ones(void **state)
{
    (void)state;
    struct dt_conf built_in, written;
    struct dt_error err = {0};
    size_t options;
    char *text = documented(&options);
    assert_int_equal(options, 43); /* members of struct dt_conf but `path` */
    assert_int_equal(dt_conf_parse(&built_in, "", "", 0, &err), 0);
    if (dt_conf_parse(&written, "configs/dt.conf", text, strlen(text), &err) != 0)
        fail_msg("%s", err.text);
    assert_equal_conf(&built_in, &written);
    assert_string_equal(built_in.data_directory, DT_DATADIR);
    dt_conf_fini(&built_in);
    dt_conf_fini(&written);
    free(text);
}

static void values_are_taken(void **state)
{
    (void)state;
    struct scratch scratch;
    scratch_write(&scratch,
                  "writable-paths = {\"/fsx\", \"/local\"}\n"
                  "required-mounts = {\"/fsx\"}\n"
                  "min-memlock-mib = -1\nprobe-timeout-ms = 250\n"
                  "instance-type = 'p5.48xlarge'\ncache-directory = ''\n"
                  "env-on-abort = warn\nenv-rules-site = '/etc/dt/rules.conf'\n",
                  0644);
    struct dt_conf conf;
    struct dt_error err = {0};
    if (dt_conf_load(&conf, scratch.path, true, &err) != 0)
        fail_msg("%s", err.text);
    assert_string_equal(conf.path, scratch.path);
    assert_string_equal(conf.writable_paths[0], "/fsx");
    assert_string_equal(conf.writable_paths[1], "/local");
    assert_null(conf.writable_paths[2]);
    assert_string_equal(conf.required_mounts[0], "/fsx");
    assert_null(conf.required_mounts[1]);
    assert_int_equal(conf.min_memlock_mib, -1);
    assert_int_equal(conf.probe_timeout_ms, 250);
    assert_string_equal(conf.instance_type, "p5.48xlarge");
    assert_string_equal(conf.cache_directory, "");
    assert_int_equal(conf.env_on_abort, DT_POLICY_WARN);
    assert_int_equal(conf.env_on_bad_rules, DT_POLICY_WARN);
    assert_string_equal(conf.env_rules_site, "/etc/dt/rules.conf");
    assert_int_equal(conf.min_memory_percent, 95);
    dt_conf_fini(&conf);
    scratch_remove(&scratch);
}

static void mistakes_are_named_with_their_line(void **state)
{
    (void)state;
    assert_refused("\nmin-nofle = 3\n", "dt.conf:2: unknown option 'min-nofle'; did you mean "
                                        "'min-nofile'?");
    assert_refused("# one\n// two\n/* three\nfour */\n# 'five\ncolour = 3\n",
                   "dt.conf:6: unknown option 'colour'");
    assert_refused("nvml-library = '/a#b//c' # it's\ncolour = 3\n", "dt.conf:2: unknown");
    assert_refused("colour = 3\n", "dt.conf:1: unknown option 'colour'");
    assert_refused("min-nofile = lots\n",
                   "dt.conf:1: invalid integer value for option 'min-nofile'");
    assert_refused("min-nofile = lots\n", "in the line: min-nofile = lots");
    assert_refused("\n\nmin-shm-percent = 101\n",
                   "dt.conf:3: option 'min-shm-percent' must be between 0 and 100");
    assert_refused("min-nofile = 1\nmin-nofile = 2\n",
                   "dt.conf:2: option 'min-nofile' is set twice");
    assert_refused("writable-paths = {'/a'}\nwritable-paths = {'/b'}\n",
                   "dt.conf:2: option 'writable-paths' is set twice");
    assert_refused("writable-paths = {'/a', 'b'}\n", "needs an absolute path");
    assert_refused("cache-directory = cache\n",
                   "dt.conf:1: option 'cache-directory' needs an absolute path");
    assert_refused("\nenv-on-abort = 'abort'\n",
                   "dt.conf:2: option 'env-on-abort' is 'abort', expected warn or refuse");
    assert_refused("env-on-bad-rules = warn\nenv-on-bad-rules = refuse\n",
                   "dt.conf:2: option 'env-on-bad-rules' is set twice");
    assert_refused("env-rules-site = 'rules.conf'\n",
                   "dt.conf:1: option 'env-rules-site' needs an absolute path");
    assert_refused("min-nofile 3\n", "dt.conf:1: ");
    assert_refused("min-nofile = \"3\n", "dt.conf:");
    assert_refused("}\n", "dt.conf:1: ");
    assert_refused("min-nofile = 99999999999999999999999\n", "dt.conf:1: ");
}

static void untrusted_files_are_refused(void **state)
{
    (void)state;
    static const struct {
        mode_t mode;
        const char *expected;
    } cases[] = {{0664, "writable by its group (mode 0664)"},
                 {0646, "writable by everyone (mode 0646)"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct scratch scratch;
        struct dt_conf conf;
        struct dt_error err = {0};
        scratch_write(&scratch, "", cases[i].mode);
        assert_int_equal(dt_conf_load(&conf, scratch.path, true, &err), -1);
        assert_non_null(strstr(err.text, cases[i].expected));
        scratch_remove(&scratch);
    }
}

static void foreign_files_are_refused(void **state)
{
    (void)state;
    struct scratch scratch;
    struct dt_conf conf;
    struct dt_error err = {0};
    if (geteuid() != 0)
        skip(); /* only root can give a file away */
    scratch_write(&scratch, "", 0644);
    assert_int_equal(chown(scratch.path, 65534, 65534), 0);
    assert_int_equal(dt_conf_load(&conf, scratch.path, false, &err), -1);
    assert_non_null(strstr(err.text, "belongs to user 65534"));
    scratch_remove(&scratch);
}

static void only_regular_files_are_read(void **state)
{
    (void)state;
    struct scratch scratch;
    struct dt_conf conf;
    struct dt_error err = {0};
    assert_int_equal(dt_conf_load(&conf, "/tmp", false, &err), -1);
    assert_non_null(strstr(err.text, "/tmp is not a regular file"));

    scratch_write(&scratch, "", 0644);
    assert_int_equal(unlink(scratch.path), 0);
    assert_int_equal(mkfifo(scratch.path, 0600), 0); /* and it does not hang */
    assert_int_equal(dt_conf_load(&conf, scratch.path, false, &err), -1);
    assert_non_null(strstr(err.text, "is not a regular file"));
    scratch_remove(&scratch);
}

static void an_absent_file_means_defaults_unless_required(void **state)
{
    (void)state;
    struct dt_conf conf;
    struct dt_error err = {0};
    assert_int_equal(dt_conf_load(&conf, "/nonexistent/dt.conf", true, &err), -1);
    assert_non_null(strstr(err.text, "/nonexistent/dt.conf can not be read: No such file"));
    assert_int_equal(dt_conf_load(&conf, "/nonexistent/dt.conf", false, &err), 0);
    assert_null(conf.path);
    assert_int_equal(conf.probe_timeout_ms, 500);
    dt_conf_fini(&conf);
}

static void an_open_list_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says; /* NULL: it is fine */
    } cases[] = {
        {"writable-paths = {\"/fsx\"}\n", NULL},
        {"writable-paths = {\"/f{sx\"} # {\n", NULL},
        {"min-nofile = 1\nwritable-paths = {\n\"/fsx\",\n\"/scratch\"\n",
         "dt.conf:5: premature end of file"},
        {"# {\n/* { */ writable-paths = {\"/}\"", "premature end of file"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct dt_conf conf;
        struct dt_error err = {0};
        int rc = dt_conf_parse(&conf, "dt.conf", cases[i].text, strlen(cases[i].text), &err);
        assert_int_equal(rc, cases[i].says ? -1 : 0);
        if (cases[i].says && !strstr(err.text, cases[i].says))
            fail_msg("'%s', not '%s'", err.text, cases[i].says);
        dt_conf_fini(&conf);
    }
}

/* libconfuse prints these and reads on as if they were not there. */
static void what_no_quotes_hold_is_refused(void **state)
{
    (void)state;
    assert_refused("# a *\nmin-nofile *= 1\n", "dt.conf:2: a '*' stands outside quotes");
    assert_refused("instance-type = p5*\n", "dt.conf:1: a '*' stands outside quotes");
    assert_refused("min-nofile = +1\n", "dt.conf:1: a '+' stands outside quotes");
    assert_refused("min-nofile = 1 \"\n", "dt.conf:1: the string that begins in this line");
    assert_refused("min-nofile = 1\n\ninstance-type = 'a\\'\n", "dt.conf:3: the string that");
    struct dt_conf conf;
    struct dt_error err = {0};
    const char *quoted = "instance-type = \"p5*+\" # *\n";
    assert_int_equal(dt_conf_parse(&conf, "dt.conf", quoted, strlen(quoted), &err), 0);
    dt_conf_fini(&conf);
}

static void nul_bytes_are_refused(void **state)
{
    (void)state;
    struct dt_conf conf;
    struct dt_error err = {0};
    assert_int_equal(dt_conf_parse(&conf, "dt.conf", "min-nofile = 1\0", 15, &err), -1);
    assert_non_null(strstr(err.text, "NUL byte"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documented_defaults_are_the_real_ones),
        cmocka_unit_test(values_are_taken),
        cmocka_unit_test(mistakes_are_named_with_their_line),
        cmocka_unit_test(untrusted_files_are_refused),
        cmocka_unit_test(foreign_files_are_refused),
        cmocka_unit_test(only_regular_files_are_read),
        cmocka_unit_test(an_absent_file_means_defaults_unless_required),
        cmocka_unit_test(an_open_list_is_refused),
        cmocka_unit_test(what_no_quotes_hold_is_refused),
        cmocka_unit_test(nul_bytes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
