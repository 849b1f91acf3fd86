/* SPDX-License-Identifier: Apache-2.0 */
/* dt-validate --selftest finds what is wrong with a check. The matrix is made once, by the real
 * checks; then one check after the other is made to lie in it, and whoever is not told of is a
 * survivor. None may survive. And: the fake NVML has all that dt asks the real one for. */
#include "shipped.h"

#include <ctype.h>
#include <dlfcn.h>
#include <limits.h>
#include <sys/stat.h>

#include "base/root.h"
#include "selftest/internal.h"

/* Each row starts some ten children that probe, and a fork copies the tables of all that the sanitizer
 * keeps back of what was freed: half of this program's time, with the 256 MB that it keeps else. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "quarantine_size_mb=4";
}

static struct dt_selftest test;
static char data[] = "/tmp/dt-selftest-data.XXXXXX";
static char fake[PATH_MAX];

/* ---- the scene ---- */

static int make_matrix(void **state)
{
    static const char *const tables[] = {"instances.conf", "xid.conf", "counters.conf",
                                         "env-rules.conf"};
    const struct dt_selftest_options options = {.data_directory = data, .nvml = fake};
    struct dt_error err = {{0}};
    char path[PATH_MAX];
    (void)state;
    assert_non_null(mkdtemp(data));
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        snprintf(path, sizeof path, "configs/%s", tables[i]);
        char *copy = shipped_copy(path);
        snprintf(path, sizeof path, "%s/%s", data, tables[i]);
        assert_int_equal(rename(copy, path), 0);
        free(copy);
    }
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    assert_true(n > 0);
    path[n] = '\0';
    *strrchr(path, '/') = '\0';
    snprintf(fake, sizeof fake, "%.4000s/../libexec/selftest/libnvidia-ml.so.1", path);
    if (dt_selftest_init(&test, &options, &err) < 0 || dt_selftest_run(&test, &options, &err) != 0)
        fail_msg("%s", err.text);
    return 0;
}

static int drop_matrix(void **state)
{
    struct dt_error err;
    (void)state;
    dt_selftest_fini(&test);
    return dt_personality_remove(data, &err);
}

static size_t judge(void)
{
    struct dt_buf lines = DT_BUF_INIT;
    size_t wrong = dt_selftest_judge(&test, &lines);
    dt_buf_fini(&lines);
    return wrong;
}

static void the_checks_as_they_are(void **state)
{
    struct dt_buf lines = DT_BUF_INIT;
    (void)state;
    if (dt_selftest_judge(&test, &lines) != 0)
        fail_msg("%s", lines.data);
    dt_buf_fini(&lines);
}

/* ---- checks that lie ---- */

struct lie {
    const char *name;
    /* what a check that is wrong in this way would say instead */
    enum dt_result (*instead)(enum dt_result result);
};

static enum dt_result never_fails(enum dt_result result)
{
    return result > DT_SKIP ? DT_PASS : result;
}

static enum dt_result always_fails(enum dt_result result)
{
    return result == DT_SKIP ? result : DT_FAIL;
}

static enum dt_result always_skips(enum dt_result result)
{
    (void)result;
    return DT_SKIP;
}

static enum dt_result knows_nothing(enum dt_result result)
{
    return result == DT_SKIP ? result : DT_UNKNOWN;
}

static enum dt_result is_mild(enum dt_result result)
{
    return result == DT_FAIL ? DT_WARN : result == DT_WARN ? DT_PASS : result;
}

static enum dt_result is_harsh(enum dt_result result)
{
    return result == DT_WARN || result == DT_UNKNOWN ? DT_FAIL : result;
}

static enum dt_result takes_unknown_for_pass(enum dt_result result)
{
    return result == DT_UNKNOWN ? DT_PASS : result;
}

static const struct lie lies[] = {
    {"never fails", never_fails},
    {"always fails", always_fails},
    {"always skips", always_skips},
    {"knows nothing", knows_nothing},
    {"is too mild", is_mild},
    {"is too harsh", is_harsh},
    {"passes what it does not know", takes_unknown_for_pass},
};

/* Returns false where the check would say the same as now. */
static bool tell_lie(const struct lie *lie, size_t column, enum dt_result *truth)
{
    bool differs = false;
    for (size_t i = 0; i < test.row_count; i++) {
        enum dt_result *result = &test.rows[i].results[column];
        truth[i] = *result;
        *result = lie->instead(*result);
        differs |= *result != truth[i];
    }
    return differs;
}

static void take_back(size_t column, const enum dt_result *truth)
{
    for (size_t i = 0; i < test.row_count; i++)
        test.rows[i].results[column] = truth[i];
}

static void no_check_that_lies_survives(void **state)
{
    enum dt_result *truth = calloc(test.row_count, sizeof *truth);
    size_t mutants = 0, survivors = 0;
    (void)state;
    assert_non_null(truth);
    for (size_t l = 0; l < sizeof lies / sizeof *lies; l++) {
        for (size_t column = 0; column < test.column_count; column++) {
            bool differs = tell_lie(&lies[l], column, truth);
            mutants += differs;
            if (differs && judge() == 0) {
                print_error("survivor: %s %s\n", test.columns[column].name, lies[l].name);
                survivors++;
            }
            take_back(column, truth);
        }
    }
    free(truth);
    print_message("%zu lies, %zu survivors\n", mutants, survivors);
    assert_true(mutants > 3 * test.column_count);
    assert_int_equal(survivors, 0);
    assert_int_equal(judge(), 0);
}

/* A check that is wrong about one machine alone: misses its fault, or blames it. */
static void no_single_mistake_survives(void **state)
{
    size_t mutants = 0, survivors = 0;
    (void)state;
    for (size_t i = 0; i < test.row_count; i++) {
        struct dt_selftest_row *row = &test.rows[i];
        for (size_t column = 0; column < test.column_count; column++) {
            const char *name = test.columns[column].name;
            enum dt_result truth = row->results[column];
            bool may_speak = row->fault && (dt_selftest_lists(row->fault->found_by, name) ||
                                            dt_selftest_lists(row->fault->also, name));
            /* A comparison beside a check that finds the fault, and one that may speak, are free. */
            if (may_speak && (test.columns[column].compares || truth <= DT_SKIP ||
                              dt_selftest_lists(row->fault->also, name)))
                continue;
            /* Blame is judged alike everywhere: some of it is enough. */
            if (!may_speak && (i + column) % 64 != 0)
                continue;
            row->results[column] = truth > DT_SKIP ? DT_PASS : DT_FAIL;
            mutants++;
            if (judge() == 0) {
                print_error("survivor: %s on %s %s\n", name, row->type,
                            row->fault ? row->fault->name : "healthy");
                survivors++;
            }
            row->results[column] = truth;
        }
    }
    print_message("%zu mistakes, %zu survivors\n", mutants, survivors);
    assert_int_equal(survivors, 0);
}

/* ---- a run that does not end well is no pass ---- */

static void trouble_is_no_pass(void **state)
{
    (void)state;
    for (size_t i = 0; i < test.row_count; i++) {
        test.rows[i].trouble = strdup("it was not tried");
        assert_true(judge() > 0);
        free(test.rows[i].trouble);
        test.rows[i].trouble = NULL;
    }
    struct dt_selftest empty = {0};
    struct dt_buf lines = DT_BUF_INIT;
    assert_true(dt_selftest_judge(&empty, &lines) > 0);
    dt_buf_fini(&lines);
}

static void lines_that_are_none_are_refused(void **state)
{
    static const char *const lines[] = {
        "",
        "{",
        "[]",
        "out of memory",
        "{\"row\":-1,\"results\":\"\",\"said\":[]}",
        "{\"row\":1000000,\"results\":\"0\",\"said\":[]}",
        "{\"row\":0,\"results\":\"0\",\"said\":[]}",
        "{\"row\":0}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        assert_int_equal(dt_selftest_take_row(&test, lines[i]), -1);
    for (size_t i = 0; i < test.row_count; i++) {
        char *text = dt_selftest_row_text(&test, i);
        assert_int_equal(dt_selftest_take_row(&test, text), (long)i);
        free(text);
    }
    assert_int_equal(judge(), 0);
}

static void names_in_lists(void **state)
{
    (void)state;
    assert_true(dt_selftest_lists("gpu-count or neuron-count", "neuron-count"));
    assert_true(dt_selftest_lists("nvidia-driver, neuron-driver or efa-driver", "nvidia-driver"));
    assert_false(dt_selftest_lists("gpu-count", "gpu"));
    assert_false(dt_selftest_lists("gpu-ecc-mode", "gpu-ecc"));
    assert_false(dt_selftest_lists(NULL, "gpu"));
}

/* ---- the fake NVML ---- */

/* A file of lib/facts that looks up functions of NVML by name: each must be in the fake, too. */
static size_t look_up_all(const char *path, void *library)
{
    char line[512];
    size_t count = 0;
    char *source = source_path(path);
    FILE *file = fopen(source, "re");
    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        for (char *at = line; (at = strstr(at, "\"nvml")); at++) {
            char name[128];
            int used = 0;
            if (sscanf(at, "\"%127[A-Za-z0-9_]\"%n", name, &used) != 1 || used == 0 ||
                !isupper((unsigned char)name[4]))
                continue;
            /* the name of a call in a message, without its version */
            if (strstr(line, "refused("))
                continue;
            if (!dlsym(library, name))
                fail_msg("%s looks up %s, which the fake NVML does not have", path, name);
            count++;
        }
    }
    fclose(file);
    free(source);
    return count;
}

static void the_fake_nvml_has_every_call(void **state)
{
    size_t count = 0;
    (void)state;
    void *library = dlopen(fake, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        fail_msg("%s", dlerror());
    char *folder = source_path("lib/facts");
    char **names = NULL;
    struct dt_root root;
    struct dt_error err;
    assert_int_equal(dt_root_init(&root, folder, &err), 0);
    int files = dt_root_list(&root, &names, ".");
    for (int i = 0; i < files; i++) {
        char path[512];
        snprintf(path, sizeof path, "lib/facts/%s", names[i]);
        if (strlen(path) > 2 && strcmp(path + strlen(path) - 2, ".c") == 0)
            count += look_up_all(path, library);
    }
    dt_names_free(names);
    dt_root_fini(&root);
    free(folder);
    dlclose(library);
    assert_true(count >= 29); /* as many as there were when this was written */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_checks_as_they_are),
        cmocka_unit_test(no_check_that_lies_survives),
        cmocka_unit_test(no_single_mistake_survives),
        cmocka_unit_test(trouble_is_no_pass),
        cmocka_unit_test(lines_that_are_none_are_refused),
        cmocka_unit_test(names_in_lists),
        cmocka_unit_test(the_fake_nvml_has_every_call),
    };
    return cmocka_run_group_tests(tests, make_matrix, drop_matrix);
}
