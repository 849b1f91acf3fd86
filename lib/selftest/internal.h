/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of lib/selftest share. */
#ifndef DT_SELFTEST_INTERNAL_H
#define DT_SELFTEST_INTERNAL_H

#include "selftest/selftest.h"

/* In a child (lab.c): make the machine of a row below `directory`, which is empty before and
 * after, let everything look at it, and fill in the row. What goes wrong is the row's trouble. */
struct dt_selftest_lab;
struct dt_selftest_lab *dt_selftest_lab_open(const struct dt_selftest_options *options,
                                             const char *directory, struct dt_error *err);
void dt_selftest_lab_try(struct dt_selftest_lab *lab, const struct dt_selftest *test,
                         struct dt_selftest_row *row);
void dt_selftest_lab_close(struct dt_selftest_lab *lab);

/* A row as one line of JSON, from a child to its parent (wire.c). Caller frees; NULL: no memory. */
char *dt_selftest_row_text(const struct dt_selftest *test, size_t row);
/* Index of the row; -1: the line is none of a row of this test. */
long dt_selftest_take_row(struct dt_selftest *test, const char *line);

#endif
