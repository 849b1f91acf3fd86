/* SPDX-License-Identifier: Apache-2.0 */
/* Results of nodes for programs that read many such files: JUnit's XML, and Prometheus' text format
 * 0.0.4 for the textfile collector of node_exporter. dt-gather renders a job so, dt-validate one
 * node. The JSON document is in report.h. */
#ifndef DT_REPORT_SUITE_H
#define DT_REPORT_SUITE_H

#include <stdbool.h>
#include <time.h>

#include "report/report.h"

/* One node. Texts and results are borrowed; dt_suites_of_report() owns its `owned`. */
struct dt_suite {
    const char *node;
    const struct dt_check_results *checks;
    const struct dt_check_result **findings; /* of the comparison; NULL: none */
    size_t finding_count;
    const char *lost; /* why there is no report; NULL: there is one */
    long us;
    struct dt_check_results owned;
};

struct dt_suites {
    struct dt_suite *items;
    size_t count;
    const char *level;
    const char *job; /* "123.0"; NULL or "": no job */
    enum dt_result verdict;
    bool name_nodes; /* Prometheus: a label `node`; else the scrape tells whose it is */
    time_t when;
    const struct dt_check_result **storage; /* of all findings */
};

/* A job's report. Nodes that sent all they know have all their checks in it. -1: out of memory. */
int dt_suites_of_report(struct dt_suites *suites, const struct dt_report *report,
                        const struct dt_verdict *verdict);
void dt_suites_fini(struct dt_suites *suites); /* of dt_suites_of_report */

/* What `write` returned first that was not 0; -1: out of memory. */
int dt_junit_write(const struct dt_suites *suites, json_dump_callback_t write, void *context);
int dt_prometheus_write(const struct dt_suites *suites, json_dump_callback_t write, void *context);

/* By the ending of the file's name: .xml is JUnit, .prom is Prometheus, all else JSON. */
enum dt_format { DT_FORMAT_JSON, DT_FORMAT_JUNIT, DT_FORMAT_PROMETHEUS };
enum dt_format dt_format_of(const char *path);

/* The report in the format that the file's name asks for. */
int dt_report_write_as(enum dt_format format, const struct dt_report *report,
                       const struct dt_verdict *verdict, json_dump_callback_t write, void *context);

#endif
