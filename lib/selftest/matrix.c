/* SPDX-License-Identifier: Apache-2.0 */
/* The rows and columns of the matrix: which machines, and who looks at them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compare/compare.h"
#include "selftest/internal.h"

static int make_columns(struct dt_selftest *test)
{
    size_t count = dt_check_count();
    for (size_t i = 0; dt_compare_check(i); i++)
        count++;
    test->columns = calloc(count + 1, sizeof *test->columns);
    if (!test->columns)
        return -1;
    for (const struct dt_check *check = dt_checks; check->name; check++)
        test->columns[test->column_count++] = (struct dt_selftest_column){check->name, false};
    for (size_t i = 0; dt_compare_check(i); i++)
        test->columns[test->column_count++] =
            (struct dt_selftest_column){dt_compare_check(i), true};
    return 0;
}

static int add_row(struct dt_selftest *test, const struct dt_fault *fault, const char *type,
                   size_t len)
{
    struct dt_selftest_row *more = realloc(test->rows, (test->row_count + 1) * sizeof *test->rows);
    if (!more)
        return -1;
    test->rows = more;
    struct dt_selftest_row *row = &more[test->row_count++];
    *row = (struct dt_selftest_row){.fault = fault,
                                    .type = strndup(type, len),
                                    .results = calloc(test->column_count, sizeof *row->results),
                                    .messages = calloc(test->column_count, sizeof *row->messages)};
    return row->type && row->results && row->messages ? 0 : -1;
}

static int add_fault(struct dt_selftest *test, const struct dt_fault *fault)
{
    const char *types = fault->types ? fault->types : DT_FAULT_TYPE;
    int rc = 0;
    for (const char *at = types; *at && rc == 0; at += strspn(at, " ")) {
        size_t len = strcspn(at, " ");
        rc = add_row(test, fault, at, len);
        at += len;
    }
    return rc;
}

static int add_healthy(struct dt_selftest *test, const struct dt_selftest_options *options,
                       struct dt_error *err)
{
    struct dt_instances table;
    char *path = NULL;
    if (asprintf(&path, "%s/instances.conf", options->data_directory) < 0)
        return dt_error_set(err, "out of memory");
    int rc = dt_instances_load(&table, path, err);
    for (size_t i = 0; rc == 0 && i < table.count; i++) {
        rc = add_row(test, NULL, table.items[i].name, strlen(table.items[i].name));
        if (rc < 0)
            dt_error_set(err, "out of memory");
    }
    dt_instances_fini(&table);
    free(path);
    return rc;
}

int dt_selftest_init(struct dt_selftest *test, const struct dt_selftest_options *options,
                     struct dt_error *err)
{
    *test = (struct dt_selftest){0};
    if (make_columns(test) < 0)
        return dt_error_set(err, "out of memory");
    if (add_healthy(test, options, err) < 0)
        return -1;
    for (const struct dt_fault *fault = dt_faults; fault->name; fault++) {
        if (add_fault(test, fault) < 0)
            return dt_error_set(err, "out of memory");
    }
    return 0;
}

void dt_selftest_fini(struct dt_selftest *test)
{
    for (size_t i = 0; i < test->row_count; i++) {
        struct dt_selftest_row *row = &test->rows[i];
        for (size_t k = 0; row->messages && k < test->column_count; k++)
            free(row->messages[k]);
        free(row->messages);
        free(row->results);
        free(row->type);
        free(row->trouble);
    }
    free(test->rows);
    free(test->columns);
    *test = (struct dt_selftest){0};
}
