/* SPDX-License-Identifier: Apache-2.0 */
/* All that a node knows, for the report file: message "detail",
 *
 *   {"type":"detail","checks":[...],"facts":{...}}
 *
 * which travels ahead of the report. It is long and nobody judges by it, so dt-gather takes it as
 * text: what is checked is that it is JSON of this form, with integers and plain strings only, so
 * that the document that it becomes a part of is JSON as well and can not drive a terminal. */
#ifndef DT_REPORT_DETAIL_H
#define DT_REPORT_DETAIL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "check/check.h"
#include "facts/facts.h"

/* New reference; NULL: no memory. */
json_t *dt_detail_message(const struct dt_facts *facts, const struct dt_check_results *checks);

/* Does this frame look like one? */
bool dt_detail_is(const char *text, size_t len);

/* *members: "checks":[...],"facts":{...} as they go into the document; caller frees. */
int dt_detail_take(char **members, const char *text, size_t len, struct dt_error *err);

#endif
