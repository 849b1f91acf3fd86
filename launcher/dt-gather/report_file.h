/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON report on disk: whole or not at all. */
#ifndef DT_GATHER_REPORT_FILE_H
#define DT_GATHER_REPORT_FILE_H

#include "base/error.h"
#include "report/report.h"

/* Before anything starts: could the file be written? Leaves nothing behind. */
int report_file_try(const char *path, struct dt_error *err);

/* A regular file is written beside and renamed; a device or pipe is written as it is. */
int report_file_write(const char *path, const struct dt_report *report,
                      const struct dt_verdict *verdict, struct dt_error *err);

#endif
