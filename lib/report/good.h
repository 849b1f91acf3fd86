/* SPDX-License-Identifier: Apache-2.0 */
/* Inside lib/report: the good nodes, alike ones folded into one line, and what dt did to their
 * environment. */
#ifndef DT_REPORT_GOOD_H
#define DT_REPORT_GOOD_H

#include "base/buf.h"
#include "report/report.h"

void dt_report_good_nodes(struct dt_buf *out, const struct dt_report *report, int width,
                          bool color);

#endif
