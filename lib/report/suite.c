/* SPDX-License-Identifier: Apache-2.0 */
/* From a job's report to one suite a node. */
#include "report/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/exitcode.h"

enum dt_format dt_format_of(const char *path)
{
    const char *dot = strrchr(path, '.');
    if (dot && strcmp(dot, ".xml") == 0)
        return DT_FORMAT_JUNIT;
    return dot && strcmp(dot, ".prom") == 0 ? DT_FORMAT_PROMETHEUS : DT_FORMAT_JSON;
}

/* The details that a node sent are a piece of JSON, checked when it came. */
static int read_detail(struct dt_suite *suite, const char *detail)
{
    struct dt_error err;
    char *text = NULL;
    if (asprintf(&text, "{%s}", detail) < 0)
        return -1;
    json_t *object = json_loads(text, 0, NULL);
    int rc =
        object ? dt_check_results_from_json(&suite->owned, json_object_get(object, "checks"), &err)
               : -1;
    json_decref(object);
    free(text);
    if (rc == 0)
        suite->checks = &suite->owned;
    return 0; /* else those that did not pass must do */
}

static int fill(struct dt_suite *suite, const struct dt_report *report, size_t i,
                const struct dt_check_result **storage, size_t *used)
{
    const struct dt_report_node *node = &report->nodes[i];
    suite->node = node->name ? node->name : "a node without a name";
    suite->checks = &node->checks;
    suite->lost = node->lost;
    suite->us = node->took_us;
    suite->findings = storage + *used;
    for (size_t k = 0; k < report->findings.count; k++) {
        bool mine = report->findings.items[k].node == i ||
                    (i == 0 && report->findings.items[k].node >= report->node_count);
        if (mine)
            suite->findings[suite->finding_count++] = &report->findings.items[k].result;
    }
    *used += suite->finding_count;
    return node->detail ? read_detail(suite, node->detail) : 0;
}

int dt_suites_of_report(struct dt_suites *suites, const struct dt_report *report,
                        const struct dt_verdict *verdict)
{
    size_t used = 0;
    *suites = (struct dt_suites){.items = calloc(report->node_count + 1, sizeof *suites->items),
                                 .level = dt_level_name(report->level),
                                 .job = report->job,
                                 .verdict = verdict->go && !report->warn_only ? DT_PASS
                                            : verdict->go                     ? DT_WARN
                                                                              : DT_FAIL,
                                 .name_nodes = true,
                                 .when = time(NULL),
                                 .storage = calloc(report->findings.count + 1, sizeof(void *))};
    int rc = suites->items && suites->storage ? 0 : -1;
    for (size_t i = 0; rc == 0 && i < report->node_count; i++) {
        rc = fill(&suites->items[i], report, i, suites->storage, &used);
        suites->count++;
    }
    if (rc < 0)
        dt_suites_fini(suites);
    return rc;
}

void dt_suites_fini(struct dt_suites *suites)
{
    for (size_t i = 0; i < suites->count; i++)
        dt_check_results_fini(&suites->items[i].owned);
    free(suites->items);
    free(suites->storage);
    *suites = (struct dt_suites){0};
}

int dt_report_write_as(enum dt_format format, const struct dt_report *report,
                       const struct dt_verdict *verdict, json_dump_callback_t write, void *context)
{
    struct dt_suites suites;
    if (format == DT_FORMAT_JSON)
        return dt_report_write(report, verdict, write, context);
    if (dt_suites_of_report(&suites, report, verdict) < 0)
        return -1;
    int rc = format == DT_FORMAT_JUNIT ? dt_junit_write(&suites, write, context)
                                       : dt_prometheus_write(&suites, write, context);
    dt_suites_fini(&suites);
    return rc;
}
