/* SPDX-License-Identifier: Apache-2.0 */
/* The document for programs; docs/report.schema.json is its contract. A line a node. */
#include <stdlib.h>
#include <string.h>

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

/* PASS: of the checks that apply here none found anything. */
static const char *node_result(const struct dt_report_node *node, bool unfit)
{
    if (node->lost)
        return "LOST";
    if (unfit)
        return dt_result_name(DT_FAIL);
    enum dt_result worst = dt_check_worst(&node->checks);
    return dt_result_name(worst >= DT_WARN ? worst : node->ran ? DT_PASS : DT_SKIP);
}

/* Pieces on their way out; the first failure ends it. */
struct writer {
    json_dump_callback_t write;
    void *context;
    int rc;
};

static void put(struct writer *w, const char *text)
{
    if (w->rc == 0)
        w->rc = w->write(text, strlen(text), w->context);
}

/* An object without its closing brace, so that more members can follow. */
static void put_open(struct writer *w, json_t *object)
{
    char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    if (text) {
        text[strlen(text) - 1] = '\0';
        put(w, text);
    } else if (w->rc == 0) {
        w->rc = -1;
    }
    free(text);
}

static json_t *checks_and_facts(const struct dt_report_node *node)
{
    json_t *facts = node->facts.doc ? json_incref(node->facts.doc) : json_null();
    return json_pack("{s:o,s:o}", "checks", dt_check_results_to_json(&node->checks), "facts",
                     facts);
}

/* For what its dt.conf has the node drained, after the brake. */
static json_t *drain_json(const struct dt_proposal *drain)
{
    return !drain ? json_null()
                  : json_pack("{s:s,s:s,s:o,s:b}", "check", drain->check, "state", drain->state,
                              "reason", text_or_null(drain->reason), "print", drain->print);
}

static void put_node(struct writer *w, const struct dt_report_node *node,
                     const struct dt_proposal *drain, bool unfit)
{
    json_t *head = json_pack("{s:o,s:s,s:o,s:o,s:I,s:o}", "name", text_or_null(node->name),
                             "result", node_result(node, unfit), "lost", text_or_null(node->lost),
                             "env", text_or_null(node->env_summary), "took_us",
                             (json_int_t)node->took_us, "drain", drain_json(drain));
    if (!node->detail)
        json_object_update_new(head, checks_and_facts(node));
    put_open(w, head);
    if (node->detail) {
        put(w, ",");
        put(w, node->detail);
    }
    put(w, "}");
}

static json_t *finding_json(const struct dt_report *report, const struct dt_finding *finding)
{
    bool one = finding->node < report->node_count;
    json_t *json = dt_check_result_to_json(&finding->result);
    if (json_object_set_new(json, "node",
                            text_or_null(one ? report->nodes[finding->node].name : NULL)) < 0 ||
        json_object_set_new(json, "node_id",
                            one ? json_integer((json_int_t)finding->node) : json_null()) < 0) {
        json_decref(json);
        return NULL;
    }
    return json;
}

static json_t *shared_json(const struct dt_problems *problems)
{
    json_t *shared = json_array();
    size_t row = 0, nodes;
    const char *check;
    while ((check = dt_problems_next_shared(problems, &row, &nodes)))
        json_array_append_new(shared, json_string(check));
    return shared;
}

int dt_report_write(const struct dt_report *report, const struct dt_verdict *verdict,
                    json_dump_callback_t write, void *context)
{
    struct writer w = {.write = write, .context = context};
    struct dt_problems problems;
    if (dt_problems_collect(&problems, report) < 0)
        return -1;
    put_open(&w, json_pack("{s:i,s:s,s:o,s:s,s:b,s:I,s:o,s:I,s:o}", "schema", 1, "dt", DT_VERSION,
                           "job", text_or_null(report->job), "level", dt_level_name(report->level),
                           "warn_only", report->warn_only, "took_us", (json_int_t)report->took_us,
                           "verdict", verdict_json(verdict), "compared",
                           (json_int_t)report->findings.checks, "shared", shared_json(&problems)));
    put(&w, ",\n\"nodes\":[");
    for (size_t i = 0; i < report->node_count; i++) {
        put(&w, i ? ",\n" : "\n");
        put_node(&w, &report->nodes[i], problems.drains[i], problems.unfit[i]);
    }
    put(&w, "],\n\"findings\":[");
    for (size_t i = 0; i < report->findings.count; i++) {
        put(&w, i ? ",\n" : "\n");
        put_open(&w, finding_json(report, &report->findings.items[i]));
        put(&w, "}");
    }
    put(&w, "]}\n");
    dt_problems_fini(&problems);
    return w.rc;
}
