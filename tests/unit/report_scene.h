/* SPDX-License-Identifier: Apache-2.0 */
/* Reports of nodes dt-1, dt-2 ... to be shown, and ways to break them. */
#ifndef DT_TESTS_REPORT_SCENE_H
#define DT_TESTS_REPORT_SCENE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "report/report.h"

static inline void add_check(struct dt_report_node *node, const char *name, enum dt_result result,
                             const char *value, const char *limit, const char *next)
{
    struct dt_check_result *items =
        realloc(node->checks.items, (node->checks.count + 1) * sizeof *items);
    assert_non_null(items);
    node->checks.items = items;
    struct dt_check_result *check = &items[node->checks.count++];
    node->ran += result != DT_SKIP;
    *check = (struct dt_check_result){.name = name};
    dt_judge(check, result, "test");
    dt_judge_value(check, "%s", value);
    dt_judge_limit(check, "%s", limit);
    dt_judge_next(check, "%s", next);
    assert_int_equal(dt_judge_finish(check), 0);
}

static inline void report_init(struct dt_report *report, size_t count)
{
    *report = (struct dt_report){.node_count = count,
                                 .level = DT_LEVEL_FAST,
                                 .took_us = 41234,
                                 .job = strdup("123.0"),
                                 .findings = {.checks = 10}};
    report->nodes = calloc(count, sizeof *report->nodes);
    for (size_t i = 0; i < count; i++) {
        struct dt_report_node *node = &report->nodes[i];
        assert_true(asprintf(&node->name, "dt-%zu", i + 1) > 0);
        node->facts.doc =
            json_pack("{s:s,s:i,s:i,s:i,s:s,s:s}", "instance.type", "p5.48xlarge", "gpu.count", 8,
                      "efa.count", 32, "mem.total_mib", 2097152, "kernel.release", "6.8.0-1021-aws",
                      "driver.nvidia", "550.127.05");
        add_check(node, "gpu-count", DT_PASS, "8 GPUs", "8 (p5.48xlarge)", "");
        add_check(node, "neuron-count", DT_SKIP, "no Neuron", "", "");
    }
}

static inline void lose(struct dt_report *report, size_t node, const char *why)
{
    dt_check_results_fini(&report->nodes[node].checks);
    dt_facts_fini(&report->nodes[node].facts);
    report->nodes[node].lost = strdup(why);
}

static inline void break_efa(struct dt_report *report, size_t node)
{
    add_check(&report->nodes[node], "efa-port", DT_FAIL, "rdmap79s0 is DOWN (31 of 32 up)",
              "32 ACTIVE ports", "reboot or replace the instance");
}

static inline void add_finding(struct dt_report *report, size_t node, const char *name,
                               enum dt_result result, const char *value)
{
    struct dt_finding *items =
        realloc(report->findings.items, (report->findings.count + 1) * sizeof *items);
    assert_non_null(items);
    report->findings.items = items;
    struct dt_finding *finding = &items[report->findings.count++];
    *finding = (struct dt_finding){.node = node, .result = {.name = name}};
    dt_judge(&finding->result, result, "test");
    dt_judge_value(&finding->result, "%s", value);
    dt_judge_next(&finding->result, "do something");
    assert_int_equal(dt_judge_finish(&finding->result), 0);
}

static inline void verdict_of(const struct dt_report *report, struct dt_verdict *verdict)
{
    struct dt_error err;
    assert_int_equal(dt_report_verdict(report, verdict, &err), 0);
    assert_non_null(verdict->reason);
}

#endif
