/* SPDX-License-Identifier: Apache-2.0 */
/* What dt-validate prints. */
#ifndef DT_VALIDATE_OUTPUT_H
#define DT_VALIDATE_OUTPUT_H

#include "base/buf.h"
#include "inspect/inspect.h"
#include "options.h"

struct outcome {
    const struct dt_inspection *inspection;
    enum dt_level level;
    enum dt_result verdict;
    long long us; /* from start to verdict */
};

void output_table(const struct outcome *outcome, bool all);
void output_wrong(const struct outcome *outcome); /* only what is wrong; nothing: all is well */
/* For programs: JSON, JUnit, Prometheus, into options->output or standard output. */
int output_form(const struct outcome *outcome, const struct options *options, struct dt_error *err);
/* Replace a file, whole or not at all; option: for the error. */
int output_replace(const char *option, const char *path, const struct dt_buf *text,
                   struct dt_error *err);
void output_nagios(const struct outcome *outcome);
void output_syslog(const struct outcome *outcome);

int selftest(const struct options *options); /* returns the exit status */

/* policy.c: have dt.conf's drain-on done on this node. What became of it is printed, and told to
 * syslog. Returns whether the node is drained by dt now. */
bool policy_drain(const struct outcome *outcome, const struct options *options);

void output_list(bool scdoc);
void output_explain(const struct dt_check *check);

int learn(const struct outcome *outcome, const struct options *options); /* learn.c: exit status */
void save_counters(const struct options *options);                       /* counters.c */

#endif
