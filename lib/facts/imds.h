/* SPDX-License-Identifier: Apache-2.0 */
/* Inside lib/facts: EC2's instance metadata. */
#ifndef DT_FACTS_IMDS_H
#define DT_FACTS_IMDS_H

#include "facts/reader.h"

/* On EC2 (by DMI) where dt.conf does not forbid it; of a tree, where it has a folder dt-imds. */
bool dt_imds_is_wanted(const struct dt_reader *reader);
/* In the child: says a JSON object of facts. */
void dt_probe_imds(int out, void *reader);
/* failure NULL: the child has answered with `text`. */
void dt_read_imds(struct dt_reader *reader, const char *text, const char *failure);

/* Parts, for tests. The body of an HTTP answer, borrowed, and its status; NULL: it is none. */
const char *dt_imds_body(const char *answer, int *status);
/* The scheduled events that are still to come, as facts.h has them. New reference; NULL: no list. */
json_t *dt_imds_events(const char *text, long long now);
/* Until "21 Jan 2019 09:00:43 GMT" or "2019-01-21T09:00:43Z"; 0: it can not be read, so it may be now. */
long long dt_imds_seconds_until(const char *text, long long now);

#endif
