/* SPDX-License-Identifier: Apache-2.0 */
/* Reports of hostile nodes: facts and check results from any JSON, compared, judged, shown. Input:
 * one JSON array, an item a node: a message "report", or {"facts":{...},"checks":[...],
 * "lost":"..."}; else one node's facts. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "facts/reader.h"
#include "report/message.h"
#include "report/suite.h"

enum { NODES_MAX = 8 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void take_node(struct dt_report_node *node, struct dt_compare_node *compared, json_t *json,
                      size_t index)
{
    json_t *facts = json_object_get(json, "facts");
    const char *lost = json_string_value(json_object_get(json, "lost"));
    struct dt_error err;
    int port;
    if (index > 0 && asprintf(&node->name, "dt-%zu", index) < 0)
        abort();
    if (dt_report_take(node, &port, json, &err) == 0) {
        compared->name = node->name ? node->name : "?";
        compared->facts = &node->facts;
        return;
    }
    if (dt_facts_from_json(&node->facts, facts ? facts : json, &err) < 0 || lost)
        node->lost = strdup(lost ? lost : err.text);
    if (dt_check_results_from_json(&node->checks, json_object_get(json, "checks"), &err) < 0 &&
        !err.text[0])
        abort(); /* a refusal always says why */
    compared->name = node->name ? node->name : "?";
    compared->facts = node->facts.doc ? &node->facts : NULL;
}

static int append(const char *bytes, size_t len, void *context)
{
    dt_buf_append(context, bytes, len);
    return 0;
}

/* Whatever nodes say, the document is JSON. */
static void write_document(const struct dt_report *report, const struct dt_verdict *verdict)
{
    struct dt_buf text = DT_BUF_INIT;
    if (dt_report_write(report, verdict, append, &text) != 0)
        abort();
    json_t *document = json_loadb(text.data, text.len, JSON_REJECT_DUPLICATES, NULL);
    if (!document)
        abort();
    json_decref(document);
    dt_buf_fini(&text);
}

/* No text of a node's ends an attribute, a label or a line. */
static void write_for_programs(const struct dt_report *report, const struct dt_verdict *verdict)
{
    struct dt_buf text = DT_BUF_INIT;
    if (dt_report_write_as(DT_FORMAT_JUNIT, report, verdict, append, &text) != 0)
        abort();
    for (const char *c = text.data; *c; c++) {
        if ((unsigned char)*c < 0x20 && *c != '\n')
            abort();
    }
    dt_buf_clear(&text);
    if (dt_report_write_as(DT_FORMAT_PROMETHEUS, report, verdict, append, &text) != 0)
        abort();
    for (const char *line = text.data; *line; line = strchr(line, '\n') + 1) {
        if (strncmp(line, "dt_", 3) != 0 && strncmp(line, "# ", 2) != 0)
            abort();
    }
    dt_buf_fini(&text);
}

static void judge(json_t *json)
{
    static const struct dt_conf conf = {.max_clock_offset_ms = 100, .min_shm_percent = 10};
    struct dt_report report = {.level = DT_LEVEL_FAST};
    struct dt_compare_node compared[NODES_MAX];
    struct dt_verdict verdict;
    struct dt_error err;
    report.node_count = json_is_array(json) ? json_array_size(json) : 1;
    if (report.node_count > NODES_MAX)
        report.node_count = NODES_MAX;
    report.nodes = calloc(report.node_count + 1, sizeof *report.nodes);
    for (size_t i = 0; i < report.node_count; i++)
        take_node(&report.nodes[i], &compared[i],
                  json_is_array(json) ? json_array_get(json, i) : json, i);
    for (size_t i = 0; i < report.node_count; i++) {
        struct dt_check_context context = {
            .facts = &report.nodes[i].facts, .conf = &conf, .level = DT_LEVEL_DEEP};
        if (report.nodes[i].checks.items || !report.nodes[i].facts.doc)
            continue;
        if (dt_check_run(&report.nodes[i].checks, &context, &err) < 0)
            abort();
    }
    if (dt_compare(&report.findings, compared, report.node_count, &conf, &err) < 0 ||
        dt_report_verdict(&report, &verdict, &err) < 0)
        abort();
    char *table = dt_report_table(&report, &verdict, 80, false);
    if (!table)
        abort();
    write_document(&report, &verdict);
    write_for_programs(&report, &verdict);
    for (const char *c = table; *c; c++) {
        if (((unsigned char)*c < 0x20 && *c != '\n') || *c == 0x7f)
            abort(); /* the terminal must not be driven */
    }
    free(table);
    dt_verdict_fini(&verdict);
    dt_report_fini(&report);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *json = json_loadb((const char *)data, size, 0, NULL);
    if (json)
        judge(json);
    json_decref(json);
    char *record = strndup((const char *)data, size);
    json_decref(dt_kernel_log_record(record, 1000000));
    dt_count_list(record);
    free(record);
    return 0;
}
