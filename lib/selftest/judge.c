/* SPDX-License-Identifier: Apache-2.0 */
/* What the matrix says of the checks. Pure: nothing is read here. */
#include <string.h>

#include "selftest/selftest.h"

/* What stands behind the name in a list; NULL: it is not there. */
static const char *find_in(const char *list, const char *name)
{
    size_t len = strlen(name);
    for (const char *at = list; at && *at; at += strspn(at, " ,")) {
        if (strcspn(at, " ,=") == len && strncmp(at, name, len) == 0)
            return at + len;
        at += strcspn(at, " ,");
    }
    return NULL;
}

bool dt_selftest_lists(const char *list, const char *name)
{
    return find_in(list, name) != NULL;
}

/* "NAME=RESULT" of a fault's `also`. */
static bool may_say(const struct dt_fault *fault, const char *name, enum dt_result result)
{
    const char *said = find_in(fault->also, name), *word = dt_result_name(result);
    return said && *said == '=' && strncmp(said + 1, word, strlen(word)) == 0;
}

static const char *wanted(const struct dt_fault *fault, const struct dt_selftest_column *column)
{
    if (column->compares && fault->compared)
        return fault->compared;
    return fault->result ? fault->result : "FAIL";
}

static bool speaks(const struct dt_selftest_row *row, size_t column)
{
    return row->results[column] > DT_SKIP;
}

/* The check that the fault is for says what it should. */
static bool finds(const struct dt_selftest *test, const struct dt_selftest_row *row, size_t column)
{
    return row->fault && !row->trouble && speaks(row, column) &&
           dt_selftest_lists(row->fault->found_by, test->columns[column].name) &&
           strcmp(dt_result_name(row->results[column]),
                  wanted(row->fault, &test->columns[column])) == 0;
}

static void put_row(struct dt_buf *out, const struct dt_selftest_row *row)
{
    if (row->fault)
        dt_buf_printf(out, "fault %s on %s: ", row->fault->name, row->type);
    else
        dt_buf_printf(out, "healthy %s: ", row->type);
}

static void put_said(struct dt_buf *out, const struct dt_selftest *test,
                     const struct dt_selftest_row *row, size_t column)
{
    const char *message = row->messages[column];
    dt_buf_printf(out, "%s%s says %s", test->columns[column].name,
                  test->columns[column].compares ? " (compared)" : "",
                  dt_result_name(row->results[column]));
    if (message)
        dt_buf_printf(out, ": %s", message);
}

/* Checks that must be quiet here, and are not. */
static size_t judge_blame(const struct dt_selftest *test, const struct dt_selftest_row *row,
                          struct dt_buf *out)
{
    size_t count = 0;
    for (size_t i = 0; i < test->column_count; i++) {
        const char *name = test->columns[i].name;
        if (!speaks(row, i) || (row->fault && (dt_selftest_lists(row->fault->found_by, name) ||
                                               may_say(row->fault, name, row->results[i]))))
            continue;
        put_row(out, row);
        put_said(out, test, row, i);
        dt_buf_puts(out, row->fault ? "; the fault is none of its business\n" : "\n");
        count++;
    }
    return count;
}

/* Does the check apply to such a machine? */
static bool applies(const struct dt_selftest *test, const char *type, size_t column)
{
    for (size_t i = 0; i < test->row_count; i++) {
        const struct dt_selftest_row *row = &test->rows[i];
        if (!row->fault && !row->trouble && strcmp(row->type, type) == 0)
            return row->results[column] == DT_PASS;
    }
    return false;
}

/* Of the checks that a fault is for, each that applies to the machine has to find it. Comparisons
 * beside them may be silent where the table says nothing of them, but not wrong. */
static size_t judge_found(const struct dt_selftest *test, const struct dt_selftest_row *row,
                          struct dt_buf *out)
{
    size_t count = 0;
    bool found = false;
    for (size_t i = 0; i < test->column_count; i++) {
        const struct dt_selftest_column *column = &test->columns[i];
        bool finds_it = finds(test, row, i);
        found |= finds_it;
        if (finds_it || !dt_selftest_lists(row->fault->found_by, column->name) ||
            !(column->compares ? speaks(row, i) || row->fault->compared
                               : applies(test, row->type, i)))
            continue;
        put_row(out, row);
        put_said(out, test, row, i);
        dt_buf_printf(out, "; it should say %s\n", wanted(row->fault, column));
        count++;
    }
    if (found || count)
        return count;
    put_row(out, row);
    dt_buf_printf(out, "it is not found, by %s or anybody else\n", row->fault->found_by);
    return 1;
}

/* Those that the table says speak, too, have to: else it says too much. */
static size_t judge_also(const struct dt_selftest *test, const struct dt_selftest_row *row,
                         struct dt_buf *out)
{
    size_t count = 0;
    for (const char *at = row->fault->also; at && *at; at += strspn(at, " ,")) {
        size_t word = strcspn(at, " ,");
        bool said = false;
        for (size_t i = 0; i < test->column_count; i++)
            said |= find_in(at, test->columns[i].name) == at + strcspn(at, "=") &&
                    may_say(row->fault, test->columns[i].name, row->results[i]);
        if (!said) {
            put_row(out, row);
            dt_buf_printf(out, "nobody says %.*s\n", (int)word, at);
            count++;
        }
        at += word;
    }
    return count;
}

static size_t judge_row(const struct dt_selftest *test, const struct dt_selftest_row *row,
                        struct dt_buf *out)
{
    if (!row->trouble)
        return judge_blame(test, row, out) +
               (row->fault ? judge_found(test, row, out) + judge_also(test, row, out) : 0);
    put_row(out, row);
    dt_buf_printf(out, "%s\n", row->trouble);
    return 1;
}

/* A check that no fault is found by can not fail, as far as anybody knows. */
static size_t judge_column(const struct dt_selftest *test, size_t column, struct dt_buf *out)
{
    bool finds_one = false;
    for (size_t i = 0; i < test->row_count; i++)
        finds_one |= finds(test, &test->rows[i], column);
    if (finds_one)
        return 0;
    dt_buf_printf(out, "%s %s can not fail: no planted fault is found by it\n",
                  test->columns[column].compares ? "comparison" : "check",
                  test->columns[column].name);
    return 1;
}

/* And one that has never passed may well always fail. */
static size_t judge_passes(const struct dt_selftest *test, size_t column, struct dt_buf *out)
{
    bool passes = test->columns[column].compares;
    for (size_t i = 0; i < test->row_count; i++)
        passes |= !test->rows[i].fault && !test->rows[i].trouble &&
                  test->rows[i].results[column] == DT_PASS;
    if (passes)
        return 0;
    dt_buf_printf(out, "check %s never passes: on no healthy machine does it apply\n",
                  test->columns[column].name);
    return 1;
}

/* A fault names checks that are there. */
static size_t judge_names(const struct dt_selftest *test, const struct dt_fault *fault,
                          struct dt_buf *out)
{
    size_t known = 0, words = 0;
    for (size_t i = 0; i < test->column_count; i++) {
        bool first = true;
        for (size_t k = 0; k < i; k++)
            first &= strcmp(test->columns[k].name, test->columns[i].name) != 0;
        known += first && dt_selftest_lists(fault->found_by, test->columns[i].name);
    }
    for (const char *at = fault->found_by; *at; at += strspn(at, " ,")) {
        size_t word = strcspn(at, " ,");
        words += word != 2 || strncmp(at, "or", 2) != 0;
        at += word;
    }
    if (known == words && words > 0)
        return 0;
    dt_buf_printf(out, "fault %s: one of '%s' is no check\n", fault->name, fault->found_by);
    return 1;
}

size_t dt_selftest_judge(const struct dt_selftest *test, struct dt_buf *out)
{
    size_t count = 0;
    for (size_t i = 0; i < test->row_count; i++)
        count += judge_row(test, &test->rows[i], out);
    for (size_t i = 0; i < test->column_count; i++)
        count += judge_column(test, i, out) + judge_passes(test, i, out);
    for (const struct dt_fault *fault = dt_faults; fault->name; fault++)
        count += judge_names(test, fault, out);
    if (test->row_count == 0 || test->column_count == 0) {
        dt_buf_puts(out, "nothing was tried\n");
        count++;
    }
    return count;
}
