/* SPDX-License-Identifier: Apache-2.0 */
/* dt-validate --selftest: what is printed of it, and what its exit status is. The work is done by
 * lib/selftest. */
#include "selftest/selftest.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/exitcode.h"
#include "facts/probe.h"
#include "output.h"
#include "paths.h"
#include "version.h"

enum { WIDTH = 80, NAME_WIDTH = 18, MATRIX_NAME = 26 };

/* ---- the fake NVML ---- */

#define FAKE "selftest/libnvidia-ml.so.1"

/* Beside this program's own helpers: where it was built, or installed. Caller frees; NULL: it is not
 * there. */
static char *find_fake(void)
{
    static const char *const places[] = {"%.*s/../libexec/" FAKE, "%.*s/../libexec/dt/" FAKE,
                                         DT_LIBEXECDIR "/" FAKE};
    char own[PATH_MAX], *path = NULL;
    ssize_t n = readlink("/proc/self/exe", own, sizeof own - 1);
    own[n > 0 ? n : 0] = '\0';
    int folder = n > 0 ? (int)(strrchr(own, '/') - own) : 0;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        if (asprintf(&path, places[i], folder, own) < 0)
            return NULL;
        if (access(path, R_OK) == 0)
            return path;
        free(path);
    }
    return NULL;
}

/* ---- as text ---- */

/* "a b c" behind a name, in lines of WIDTH. */
struct list {
    size_t column;
};

static void list_begin(struct list *list, const char *name)
{
    printf("%-*s", NAME_WIDTH, name);
    list->column = strlen(name) > NAME_WIDTH ? strlen(name) : NAME_WIDTH;
}

static void list_add(struct list *list, const char *word)
{
    if (list->column + strlen(word) + 1 > WIDTH) {
        printf("\n%-*s", NAME_WIDTH, "");
        list->column = NAME_WIDTH;
    }
    printf(" %s", word);
    list->column += strlen(word) + 1;
}

static bool says(const struct dt_selftest_row *row, size_t column)
{
    return !row->trouble && row->results[column] > DT_SKIP;
}

static void print_column(const struct dt_selftest *test, size_t column)
{
    struct list list;
    const char *last = NULL, *name = test->columns[column].name;
    list_begin(&list, name);
    for (size_t i = 0; i < test->row_count; i++) {
        const struct dt_fault *fault = test->rows[i].fault;
        /* a fault of several types is told once */
        if (!fault || !says(&test->rows[i], column) || fault->name == last ||
            !dt_selftest_lists(fault->found_by, name))
            continue;
        list_add(&list, fault->name);
        last = fault->name;
    }
    putchar('\n');
}

static void print_columns(const struct dt_selftest *test, bool compares, const char *heading)
{
    printf("%s\n", heading);
    for (size_t i = 0; i < test->column_count; i++) {
        if (test->columns[i].compares == compares)
            print_column(test, i);
    }
    putchar('\n');
}

/* Checks that speak of a fault beside the one that it is for. */
static void print_also(const struct dt_selftest *test)
{
    bool headed = false;
    for (size_t i = 0; i < test->row_count; i++) {
        const struct dt_selftest_row *row = &test->rows[i];
        struct list list = {0};
        bool begun = false;
        for (size_t k = 0; row->fault && k < test->column_count; k++) {
            const char *name = test->columns[k].name;
            if (!says(row, k) || !dt_selftest_lists(row->fault->also, name))
                continue;
            if (!headed)
                printf("%-*s CHECKS THAT SPOKE, TOO\n", NAME_WIDTH, "FAULT");
            if (!begun)
                list_begin(&list, row->fault->name);
            list_add(&list, name);
            headed = begun = true;
        }
        if (begun)
            putchar('\n');
    }
    if (headed)
        putchar('\n');
}

/* The names of columns stand upright above their letters. */
static void print_heads(const struct dt_selftest *test, size_t from, size_t to)
{
    size_t height = 0;
    for (size_t i = from; i < to; i++)
        height = strlen(test->columns[i].name) > height ? strlen(test->columns[i].name) : height;
    for (size_t line = 0; line < height; line++) {
        printf("%*s", MATRIX_NAME, "");
        for (size_t i = from; i < to; i++) {
            const char *name = test->columns[i].name;
            size_t above = height - strlen(name);
            putchar(line < above ? ' ' : name[line - above]);
        }
        putchar('\n');
    }
}

static void print_matrix(const struct dt_selftest *test)
{
    static const char letters[] = ".-WUF"; /* by enum dt_result */
    const size_t step = WIDTH - MATRIX_NAME;
    printf("F FAIL, W WARN, U UNKNOWN, . PASS, - does not apply or nothing to compare\n\n");
    for (size_t from = 0; from < test->column_count; from += step) {
        size_t to = from + step < test->column_count ? from + step : test->column_count;
        print_heads(test, from, to);
        for (size_t i = 0; i < test->row_count; i++) {
            const struct dt_selftest_row *row = &test->rows[i];
            printf("%-*.*s ", MATRIX_NAME - 1, MATRIX_NAME - 1,
                   row->fault ? row->fault->name : row->type);
            for (size_t k = from; k < to; k++)
                putchar(row->trouble ? '?' : letters[row->results[k]]);
            putchar('\n');
        }
        putchar('\n');
    }
}

static size_t count_rows(const struct dt_selftest *test, bool healthy)
{
    size_t count = 0;
    const struct dt_fault *last = NULL;
    for (size_t i = 0; i < test->row_count; i++) {
        const struct dt_fault *fault = test->rows[i].fault;
        count += healthy ? !fault : fault && fault != last;
        last = fault;
    }
    return count;
}

static void print_text(const struct dt_selftest *test, const char *complaints, size_t wrong,
                       long long us, bool all)
{
    size_t checks = dt_check_count();
    if (all)
        print_matrix(test);
    print_columns(test, false, "CHECK              FAULTS THAT IT FINDS");
    print_columns(test, true, "COMPARISON         FAULTS THAT IT FINDS");
    print_also(test);
    printf("%s", complaints);
    printf("%s: %zu faults, %zu healthy machines, %zu checks, %zu comparisons; ",
           wrong ? "FAIL" : "PASS", count_rows(test, false), count_rows(test, true), checks,
           test->column_count - checks);
    if (wrong)
        printf("%zu wrong; ", wrong);
    printf("%.1f s\n", (double)us / 1e6);
}

/* ---- as JSON ---- */

static json_t *results_of(const struct dt_selftest *test, const struct dt_selftest_row *row,
                          bool compares)
{
    json_t *results = json_object();
    for (size_t i = 0; i < test->column_count; i++) {
        if (test->columns[i].compares == compares)
            json_object_set_new(results, test->columns[i].name,
                                json_string(dt_result_name(row->results[i])));
    }
    return results;
}

static json_t *row_of(const struct dt_selftest *test, const struct dt_selftest_row *row)
{
    json_t *document =
        json_pack("{s:s,s:s?}", "type", row->type, "fault", row->fault ? row->fault->name : NULL);
    if (row->trouble) {
        json_object_set_new(document, "trouble", json_string(row->trouble));
        return document;
    }
    json_object_set_new(document, "checks", results_of(test, row, false));
    json_object_set_new(document, "comparisons", results_of(test, row, true));
    return document;
}

static void print_json(const struct dt_selftest *test, char *complaints, size_t wrong, long long us)
{
    json_t *rows = json_array(), *list = json_array();
    for (size_t i = 0; i < test->row_count; i++)
        json_array_append_new(rows, row_of(test, &test->rows[i]));
    for (char *line; complaints && (line = strsep(&complaints, "\n"));) {
        if (*line)
            json_array_append_new(list, json_string(line));
    }
    json_t *document =
        json_pack("{s:i,s:s,s:s,s:I,s:o,s:o}", "schema", 1, "dt", DT_VERSION, "verdict",
                  wrong ? "FAIL" : "PASS", "us", (json_int_t)us, "wrong", list, "machines", rows);
    json_dumpf(document, stdout, JSON_INDENT(1));
    putchar('\n');
    json_decref(document);
}

/* ---- */

static int complain(const struct dt_error *err, int code)
{
    fprintf(stderr, "dt-validate: selftest: %s\n", err->text);
    return code;
}

static int run(struct dt_selftest *test, const struct options *o, const char *data,
               const char *fake)
{
    struct dt_selftest_options options = {.data_directory = data, .nvml = fake};
    struct dt_error err = {{0}};
    long long begin = dt_monotonic_us();
    if (dt_selftest_init(test, &options, &err) < 0)
        return complain(&err, DT_EXIT_CONFIG);
    int rc = dt_selftest_run(test, &options, &err);
    if (rc != 0) {
        if (rc > 0)
            dt_error_set(&err, "interrupted");
        return complain(&err, DT_EXIT_HELPER);
    }
    struct dt_buf lines = DT_BUF_INIT;
    size_t wrong = dt_selftest_judge(test, &lines);
    char *complaints = dt_buf_take(&lines);
    if (o->form == FORM_JSON)
        print_json(test, complaints, wrong, dt_monotonic_us() - begin);
    else
        print_text(test, complaints ? complaints : "", wrong, dt_monotonic_us() - begin, o->all);
    free(complaints);
    return wrong ? 2 : 0;
}

int selftest(const struct options *o)
{
    struct dt_selftest test = {0};
    struct dt_conf conf;
    struct dt_error err = {{0}};
    char *fake = find_fake(), *data = NULL;
    int code;
    if (dt_conf_load(&conf, o->config ? o->config : DT_SYSCONFDIR "/dt.conf", o->config != NULL,
                     &err) < 0) {
        code = complain(&err, DT_EXIT_CONFIG);
    } else if (!fake) {
        dt_error_set(&err, "its NVML is not there: install %s/" FAKE, DT_LIBEXECDIR);
        code = complain(&err, DT_EXIT_HELPER);
    } else if (!(data = realpath(conf.data_directory, NULL))) {
        dt_error_set(&err, "the data directory '%s' is not there", conf.data_directory);
        code = complain(&err, DT_EXIT_CONFIG);
    } else {
        code = run(&test, o, data, fake);
    }
    dt_selftest_fini(&test);
    dt_conf_fini(&conf);
    free(data);
    free(fake);
    return code;
}
