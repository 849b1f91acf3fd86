/* SPDX-License-Identifier: Apache-2.0 */
/* The report on disk, in the format that its name asks for: whole or not at all, and in time or not at
 * all. */
#ifndef DT_GATHER_REPORT_FILE_H
#define DT_GATHER_REPORT_FILE_H

#include "base/error.h"
#include "report/report.h"

/* Before anything starts: could the file be written? Leaves nothing behind. */
int report_file_try(const char *path, long long timeout_ms, struct dt_error *err);

/* A regular file is written beside and renamed; a device or pipe is written as it is. */
int report_file_write(const char *path, const struct dt_report *report,
                      const struct dt_verdict *verdict, long long timeout_ms, struct dt_error *err);

#endif
