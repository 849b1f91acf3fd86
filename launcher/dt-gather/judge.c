/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a gather: compare, decide, write the report, print the table, tell the nodes. In this
 * order: when a node hears no-go its ranks exit, and srun and this process with them. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/exitcode.h"
#include "compare/compare.h"
#include "gather.h"
#include "report/report.h"
#include "report_file.h"
#include "terminal.h"

static void complain(const char *what, const char *sentence)
{
    char *line;
    if (asprintf(&line, "dt: %s%s\n", what, sentence) < 0)
        return;
    terminal_print(line);
    free(line);
}

static char *name_of(const struct gather *g, const struct component *component, int i)
{
    const struct node *node = &component->nodes[i];
    char *name = NULL;
    if (node->report.name)
        return strdup(node->report.name);
    if ((size_t)i < component->names.count)
        return strdup(component->names.names[i]);
    if (g->component_count > 1 && asprintf(&name, "node %d of %d of het component %td", i,
                                           component->node_count, component - g->components) < 0)
        name = NULL;
    return name;
}

/* Hands what the roster holds over to the report. */
static void move_node(struct dt_report_node *to, struct node *from, char *name)
{
    *to = from->report;
    from->report = (struct dt_report_node){.name = to->name};
    to->name = name;
}

static int fill_report(struct gather *g, struct dt_report *report, struct dt_error *err)
{
    report->level = g->options.level;
    report->warn_only = g->options.warn_only;
    report->job = strdup(g->options.job ? g->options.job : "");
    report->nodes = calloc(g->node_count + 1, sizeof *report->nodes);
    struct dt_compare_node *compared = calloc(g->node_count + 1, sizeof *compared);
    if (!report->job || !report->nodes || !compared) {
        free(compared);
        return dt_error_set(err, "out of memory");
    }
    for (size_t c = 0; c < g->component_count; c++) {
        struct component *component = &g->components[c];
        for (int i = 0; i < component->node_count; i++) {
            struct dt_report_node *node = &report->nodes[report->node_count];
            move_node(node, &component->nodes[i], name_of(g, component, i));
            compared[report->node_count++] = (struct dt_compare_node){
                node->name, node->facts.doc && !node->lost ? &node->facts : NULL};
        }
    }
    int rc = dt_compare(&report->findings, compared, report->node_count, &g->conf, err);
    free(compared);
    return rc;
}

/* A node that failed with a code of its own (bad configuration, say) tells more than "incomplete".
 */
static int failed_code(const struct gather *g)
{
    for (size_t c = 0; c < g->component_count; c++) {
        for (int i = 0; i < g->components[c].node_count; i++) {
            if (g->components[c].nodes[i].failed_code)
                return g->components[c].nodes[i].failed_code;
        }
    }
    return 0;
}

/* Of the time that the nodes still wait. */
static long long report_patience_ms(const struct gather *g)
{
    double seconds =
        g->options.settle_s < g->options.timeout_s ? g->options.settle_s : g->options.timeout_s;
    double left_ms = (g->waiting_since + seconds - gather_now()) * 1000;
    return left_ms < REPORT_MIN_MS   ? REPORT_MIN_MS
           : left_ms > REPORT_MAX_MS ? REPORT_MAX_MS
                                     : (long long)left_ms;
}

/* The report file comes before the verdict: a job that demanded a report must not run without. */
static void write_report(struct gather *g, const struct dt_report *report,
                         struct dt_verdict *verdict)
{
    struct dt_error err = {{0}};
    if (!g->options.report ||
        report_file_write(g->options.report, report, verdict, report_patience_ms(g), &err) == 0)
        return;
    bool abort = verdict->go && !g->options.warn_only;
    if (!abort) {
        complain("warning: ", err.text);
        return;
    }
    struct dt_error told = {{0}};
    dt_error_set(&told, "%s; nothing was started", err.text);
    complain("", told.text);
    verdict->go = false;
    verdict->code = DT_EXIT_REPORT;
    free(verdict->reason);
    verdict->reason = strdup(err.text);
}

static void hint(struct dt_buf *text, size_t count, const char *one, const char *many)
{
    if (count > 0)
        dt_buf_printf(text, "dt: %zu %s\n", count, count == 1 ? one : many);
}

static bool anyone_lost(const struct dt_report *report)
{
    for (size_t i = 0; i < report->node_count; i++) {
        if (report->nodes[i].lost)
            return true;
    }
    return false;
}

static void print(const struct gather *g, const struct dt_report *report,
                  const struct dt_verdict *verdict)
{
    struct dt_buf text = DT_BUF_INIT;
    char *table = dt_report_table(report, verdict, terminal_width(), terminal_color());
    if (table) {
        dt_buf_puts(&text, table);
        if (text.len > 0 && text.data[text.len - 1] != '\n')
            dt_buf_puts(&text, "\n");
    }
    free(table);
    if (anyone_lost(report)) {
        hint(&text, g->wrong_tokens, "connection with a wrong token was refused",
             "connections with a wrong token were refused");
        hint(&text, g->strangers, "connection that did not speak dt's protocol was closed",
             "connections that did not speak dt's protocol were closed");
    }
    hint(&text, g->second_reports, "second report of a node that had reported was refused",
         "second reports of nodes that had reported were refused");
    char *all = dt_buf_take(&text);
    if (all)
        terminal_print(all);
    free(all);
}

/* Where rank 0 lives: the address its report came from, as other nodes can most likely use it too.
 */
static void find_master(const struct gather *g, const struct dt_report *report,
                        struct dt_decision *decision)
{
    const struct component *first = &g->components[0];
    decision->master_addr = "";
    if (first->node_count == 0 || !first->nodes[0].reported)
        return;
    const struct node *node = &first->nodes[0];
    decision->master_addr = node->address;
    decision->master_port = node->port;
    bool loopback = strncmp(node->address, "127.", 4) == 0 || strcmp(node->address, "::1") == 0;
    const char *announced;
    if (loopback && report->nodes[0].facts.doc &&
        dt_facts_string(&report->nodes[0].facts, "net.address", &announced))
        decision->master_addr = announced;
}

static void tell_nodes(struct gather *g, const struct dt_report *report,
                       const struct dt_verdict *verdict)
{
    struct dt_component *components = calloc(g->component_count, sizeof *components);
    struct dt_decision decision = {.go = verdict->go,
                                   .code = verdict->code,
                                   .reason = verdict->reason ? verdict->reason : "",
                                   .drain = verdict->drain,
                                   .shared = verdict->shared,
                                   .components = components};
    for (size_t i = 0; components && i < g->component_count; i++) {
        components[i] = (struct dt_component){g->components[i].node_count, g->components[i].tasks};
        decision.component_count++;
    }
    find_master(g, report, &decision);
    json_t *message = dt_decision_to_json(&decision);
    if (message)
        peers_send_verdict(g, message);
    json_decref(message);
    free(components);
}

static int decide(struct gather *g, struct dt_report *report, struct dt_verdict *verdict,
                  struct dt_error *err)
{
    if (fill_report(g, report, err) < 0)
        return -1;
    double since = g->first_connection > 0 ? g->first_connection : g->started;
    report->took_us = (long)((gather_now() - since) * 1e6);
    if (dt_report_verdict(report, verdict, err) < 0)
        return -1;
    if (!verdict->go && verdict->code == DT_EXIT_INCOMPLETE && failed_code(g))
        verdict->code = failed_code(g);
    return 0;
}

/* For peers_send_verdict to end the loop at once when there is nobody to tell, and in any case
 * soon. */
static void linger(struct gather *g)
{
    static const struct timeval patience = {.tv_sec = FLUSH_SECONDS};
    event_base_loopexit(g->base, g->unsent > 0 ? &patience : NULL);
}

void judge(struct gather *g)
{
    struct dt_report report = {0};
    struct dt_verdict verdict = {0};
    struct dt_error err = {{0}};
    g->decided = true;
    if (decide(g, &report, &verdict, &err) < 0) {
        verdict.go = false;
        verdict.code = DT_EXIT_HELPER;
        free(verdict.reason);
        verdict.reason = strdup(err.text);
        complain("the nodes' reports could not be judged: ", err.text);
    } else {
        write_report(g, &report, &verdict);
        print(g, &report, &verdict);
    }
    g->code = verdict.go ? 0 : verdict.code;
    g->refused_for_lost = !verdict.go && anyone_lost(&report);
    tell_nodes(g, &report, &verdict);
    dt_verdict_fini(&verdict);
    dt_report_fini(&report);
    linger(g);
}

void judge_too_late(struct gather *g)
{
    struct dt_report report = {0};
    struct dt_verdict verdict = {0};
    struct dt_error err = {{0}};
    struct dt_buf line = DT_BUF_INIT;
    if (g->decided)
        return;
    roster_explained(g);
    if (roster_complete(g)) {
        judge(g);
        return;
    }
    g->decided = true;
    roster_lose_missing(g);
    if (decide(g, &report, &verdict, &err) == 0) {
        write_report(g, &report, &verdict);
        dt_buf_printf(&line, "the step ended before dt's verdict: %s; slurmd's log there says more",
                      verdict.reason);
        complain("", line.data ? line.data : "out of memory");
    }
    dt_buf_fini(&line);
    dt_verdict_fini(&verdict);
    dt_report_fini(&report);
    event_base_loopbreak(g->base);
}
