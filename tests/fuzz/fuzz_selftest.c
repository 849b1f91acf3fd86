/* SPDX-License-Identifier: Apache-2.0 */
/* A row of results as a child writes it, and may write it half: taken whole or refused, and what was
 * taken can be judged. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "selftest/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { COLUMNS = 3, ROWS = 2 };
    struct dt_selftest_column columns[COLUMNS] = {
        {"gpu-count", false}, {"efa-count", false}, {"efa-count", true}};
    enum dt_result results[ROWS][COLUMNS] = {{DT_PASS}};
    char *messages[ROWS][COLUMNS] = {{NULL}}, type[] = "p4d.24xlarge";
    struct dt_selftest_row rows[ROWS];
    for (size_t i = 0; i < ROWS; i++)
        rows[i] = (struct dt_selftest_row){.fault = i ? dt_fault_find("efa-lost") : NULL,
                                           .type = type,
                                           .results = results[i],
                                           .messages = messages[i]};
    struct dt_selftest test = {columns, COLUMNS, rows, ROWS};
    struct dt_buf lines = DT_BUF_INIT;
    char *line = strndup((const char *)data, size);
    if (line && dt_selftest_take_row(&test, line) >= ROWS)
        abort();
    dt_selftest_judge(&test, &lines);
    dt_buf_fini(&lines);
    for (size_t i = 0; i < ROWS; i++) {
        for (size_t k = 0; k < COLUMNS; k++)
            free(messages[i][k]);
        free(rows[i].trouble);
    }
    free(line);
    return 0;
}
