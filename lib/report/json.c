/* SPDX-License-Identifier: Apache-2.0 */
/* The document for programs; docs/report.schema.json is its contract. */
#include "facts/printable.h"
#include "report/problems.h"
#include "version.h"

static json_t *text_or_null(const char *text)
{
    return text ? dt_printable_json(text, 4096) : json_null();
}

static json_t *verdict_json(const struct dt_verdict *verdict)
{
    return json_pack("{s:b,s:i,s:o,s:o}", "go", verdict->go, "code", verdict->code, "reason",
                     text_or_null(verdict->reason), "exclude", text_or_null(verdict->exclude));
}

static json_t *node_json(const struct dt_report_node *node, bool unfit)
{
    const char *result = node->lost ? "LOST"
                         : unfit    ? dt_result_name(DT_FAIL)
                                    : dt_result_name(dt_check_worst(&node->checks));
    json_t *facts = node->facts.doc ? json_incref(node->facts.doc) : json_null();
    return json_pack("{s:o,s:s,s:o,s:o,s:I,s:o,s:o}", "name", text_or_null(node->name), "result",
                     result, "lost", text_or_null(node->lost), "env",
                     text_or_null(node->env_summary), "took_us", (json_int_t)node->took_us,
                     "checks", dt_check_results_to_json(&node->checks), "facts", facts);
}

static json_t *nodes_json(const struct dt_report *report, const struct dt_problems *problems)
{
    json_t *nodes = json_array();
    for (size_t i = 0; i < report->node_count; i++)
        json_array_append_new(nodes, node_json(&report->nodes[i], problems->unfit[i]));
    return nodes;
}

static json_t *findings_json(const struct dt_report *report)
{
    json_t *findings = json_array();
    for (size_t i = 0; i < report->findings.count; i++) {
        const struct dt_finding *finding = &report->findings.items[i];
        json_t *json = dt_check_result_to_json(&finding->result);
        const char *name =
            finding->node < report->node_count ? report->nodes[finding->node].name : NULL;
        json_object_set_new(json, "node", text_or_null(name));
        json_object_set_new(json, "node_id",
                            finding->node < report->node_count
                                ? json_integer((json_int_t)finding->node)
                                : json_null());
        json_array_append_new(findings, json);
    }
    return findings;
}

/* Checks that too many nodes fail for it to be the nodes' own fault, each once. */
static json_t *shared_json(const struct dt_problems *problems)
{
    json_t *seen = json_object();
    json_t *shared = json_array();
    for (size_t i = 0; i < problems->count; i++) {
        const struct dt_problem *row = &problems->items[i];
        if (!row->shared || json_object_get(seen, row->check))
            continue;
        json_object_set_new(seen, row->check, json_true());
        json_array_append_new(shared, json_string(row->check));
    }
    json_decref(seen);
    return shared;
}

json_t *dt_report_json(const struct dt_report *report, const struct dt_verdict *verdict)
{
    struct dt_problems problems;
    if (dt_problems_collect(&problems, report) < 0)
        return NULL;
    json_t *json = json_pack(
        "{s:i,s:s,s:o,s:s,s:b,s:I,s:o,s:I,s:o,s:o,s:o}", "schema", 1, "dt", DT_VERSION, "job",
        text_or_null(report->job), "level", dt_level_name(report->level), "warn_only",
        report->warn_only, "took_us", (json_int_t)report->took_us, "verdict", verdict_json(verdict),
        "compared", (json_int_t)report->findings.checks, "shared", shared_json(&problems), "nodes",
        nodes_json(report, &problems), "findings", findings_json(report));
    dt_problems_fini(&problems);
    return json;
}
