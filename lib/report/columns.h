/* SPDX-License-Identifier: Apache-2.0 */
/* Inside lib/report: aligned columns in a terminal's width; what does not fit is wrapped at blanks.
 */
#ifndef DT_REPORT_COLUMNS_H
#define DT_REPORT_COLUMNS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

#define DT_COLUMNS_MAX 8

enum dt_paint { DT_PAINT_NONE, DT_PAINT_DIM, DT_PAINT_RED, DT_PAINT_YELLOW, DT_PAINT_GREEN };

struct dt_columns {
    size_t count; /* columns */
    size_t rows;
    char **cells; /* rows x count, owned; NULL: empty */
    enum dt_paint *paint;
    bool failed;
};

/* Add a row; the texts are copied and made printable. paint holds for the whole row's cell
 * `painted`. */
void dt_columns_add(struct dt_columns *columns, const char *const *texts, size_t painted,
                    enum dt_paint paint);
/* Every line begins with `indent`. Columns that are empty in all rows are left out. */
void dt_columns_print(struct dt_columns *columns, struct dt_buf *out, const char *indent, int width,
                      bool color);
void dt_columns_fini(struct dt_columns *columns);
void dt_paint(struct dt_buf *out, enum dt_paint paint, const char *text, bool color);

#endif
