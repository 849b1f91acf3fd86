/* SPDX-License-Identifier: Apache-2.0 */
/* A row of results on its way from a child: {"row":3,"results":"0010..","said":[[2,"..."]]}. */
#include <stdlib.h>
#include <string.h>

#include "selftest/internal.h"

char *dt_selftest_row_text(const struct dt_selftest *test, size_t index)
{
    const struct dt_selftest_row *row = &test->rows[index];
    struct dt_buf digits = DT_BUF_INIT;
    json_t *said = json_array();
    for (size_t i = 0; i < test->column_count; i++) {
        dt_buf_printf(&digits, "%d", (int)row->results[i]);
        if (row->messages[i])
            json_array_append_new(said, json_pack("[I,s]", (json_int_t)i, row->messages[i]));
    }
    char *results = dt_buf_take(&digits);
    json_t *document = json_pack("{s:I,s:s,s:o}", "row", (json_int_t)index, "results",
                                 results ? results : "", "said", said);
    if (row->trouble)
        json_object_set_new(document, "trouble", json_string(row->trouble));
    char *text = json_dumps(document, JSON_COMPACT);
    json_decref(document);
    free(results);
    return text;
}

static void take_said(struct dt_selftest *test, struct dt_selftest_row *row, const json_t *said)
{
    size_t i;
    json_t *one;
    json_array_foreach(said, i, one)
    {
        json_int_t column = json_integer_value(json_array_get(one, 0));
        const char *message = json_string_value(json_array_get(one, 1));
        if (column < 0 || (size_t)column >= test->column_count || !message)
            continue;
        free(row->messages[column]);
        row->messages[column] = strdup(message);
    }
}

long dt_selftest_take_row(struct dt_selftest *test, const char *line)
{
    json_int_t index;
    const char *results, *trouble = NULL;
    json_t *said, *document = json_loads(line, 0, NULL);
    long row_taken = -1;
    if (json_unpack(document, "{s:I,s:s,s:o,s?s}", "row", &index, "results", &results, "said",
                    &said, "trouble", &trouble) == 0 &&
        index >= 0 && (size_t)index < test->row_count && strlen(results) == test->column_count &&
        strspn(results, "01234") == test->column_count) {
        struct dt_selftest_row *row = &test->rows[index];
        for (size_t i = 0; i < test->column_count; i++)
            row->results[i] = (enum dt_result)(results[i] - '0');
        take_said(test, row, said);
        free(row->trouble);
        row->trouble = trouble ? strdup(trouble) : NULL;
        row_taken = (long)index;
    }
    json_decref(document);
    return row_taken;
}
