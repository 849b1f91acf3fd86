/* SPDX-License-Identifier: Apache-2.0 */
/* Go or no-go, in one sentence, and whom to leave out. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/exitcode.h"
#include "facts/printable.h"
#include "report/problems.h"

void dt_verdict_fini(struct dt_verdict *verdict)
{
    free(verdict->reason);
    free(verdict->exclude);
    free(verdict->drain);
    free(verdict->shared);
    *verdict = (struct dt_verdict){0};
}

void dt_report_node_fini(struct dt_report_node *node)
{
    free(node->name);
    dt_facts_fini(&node->facts);
    dt_check_results_fini(&node->checks);
    free(node->env_summary);
    dt_proposals_fini(&node->drains);
    free(node->detail);
    free(node->lost);
    *node = (struct dt_report_node){0};
}

void dt_report_fini(struct dt_report *report)
{
    for (size_t i = 0; i < report->node_count; i++)
        dt_report_node_fini(&report->nodes[i]);
    free(report->nodes);
    dt_findings_fini(&report->findings);
    free(report->job);
    *report = (struct dt_report){0};
}

/* Names of the failed checks, each once: "efa-port, memlock". */
static void say_checks(struct dt_buf *buf, const struct dt_problems *problems)
{
    size_t said = 0;
    for (size_t i = 0; i < problems->count; i++) {
        const struct dt_problem *row = &problems->items[i];
        bool again =
            row->result != DT_FAIL || row->count == 0 || strcmp(row->check, DT_LOST_CHECK) == 0;
        for (size_t k = 0; k < i && !again; k++)
            again = problems->items[k].result == DT_FAIL &&
                    strcmp(problems->items[k].check, row->check) == 0;
        if (!again && said++ < 8)
            dt_buf_printf(buf, "%s%s", said > 1 ? ", " : "", row->check);
    }
    if (said > 8)
        dt_buf_printf(buf, " and %zu more", said - 8);
}

static void say_unfit(struct dt_buf *buf, const struct dt_report *report,
                      const struct dt_problems *problems)
{
    char *names = dt_report_names(report, problems->unfit, false);
    dt_buf_printf(buf, "%zu of %zu node%s not fit: %s (", problems->unfit_count, report->node_count,
                  problems->unfit_count == 1 ? (report->node_count == 1 ? " is" : "s is") : "s are",
                  names ? names : "?");
    say_checks(buf, problems);
    dt_buf_puts(buf, ")");
    free(names);
}

static void say_lost(struct dt_buf *buf, const struct dt_report *report,
                     const struct dt_problems *problems)
{
    bool *lost = calloc(report->node_count + 1, sizeof *lost);
    const char *reason = NULL;
    for (size_t i = 0; lost && i < report->node_count; i++) {
        lost[i] = report->nodes[i].lost != NULL;
        if (lost[i] && !reason)
            reason = report->nodes[i].lost;
    }
    char *names = lost ? dt_report_names(report, lost, false) : NULL;
    dt_buf_printf(buf, "%zu of %zu node%s %s: %s (%s)", problems->lost_count, report->node_count,
                  report->node_count == 1 ? "" : "s", dt_report_lost_verb(problems, false),
                  names ? names : "?", reason ? reason : "?");
    free(names);
    free(lost);
}

static void say_disagreement(struct dt_buf *buf, const struct dt_problems *problems)
{
    for (size_t i = 0; i < problems->count; i++) {
        const struct dt_problem *row = &problems->items[i];
        if (row->result != DT_FAIL || row->count > 0)
            continue;
        dt_buf_printf(buf, "the nodes do not agree on %s: %s", row->check, row->value);
        return;
    }
}

static void say_shared(struct dt_buf *buf, const struct dt_report *report,
                       const struct dt_problems *problems)
{
    size_t row = 0, nodes;
    const char *check;
    while ((check = dt_problems_next_shared(problems, &row, &nodes)))
        dt_buf_printf(buf, "; shared by %zu of %zu nodes, so not their own: %s", nodes,
                      report->node_count, check);
}

static void say_reason(struct dt_buf *buf, const struct dt_report *report,
                       const struct dt_problems *problems)
{
    if (problems->unfit_count)
        say_unfit(buf, report, problems);
    if (problems->lost_count) {
        dt_buf_puts(buf, buf->len ? "; " : "");
        say_lost(buf, report, problems);
    }
    if (problems->disagree) {
        dt_buf_puts(buf, buf->len ? "; " : "");
        say_disagreement(buf, problems);
    }
    say_shared(buf, report, problems);
    if (!buf->len)
        dt_buf_printf(buf, "%zu node%s", report->node_count,
                      report->node_count == 1 ? " is fit" : "s are fit");
    if (problems->unknown)
        dt_buf_puts(buf, "; not everything could be checked");
}

/* "a,b"; NULL: none, or no memory. */
static char *list_shared(const struct dt_problems *problems, bool *failed)
{
    struct dt_buf text = DT_BUF_INIT;
    size_t row = 0, nodes;
    const char *check;
    while ((check = dt_problems_next_shared(problems, &row, &nodes)))
        dt_buf_printf(&text, "%s%s", text.len ? "," : "", check);
    char *list = text.len || text.failed ? dt_buf_take(&text) : NULL;
    *failed |= !list && (text.len || text.failed);
    return list;
}

/* Names of those that `which` holds for; NULL: none has a name, or no memory. */
static char *list_names(const struct dt_report *report, const bool *which, size_t count,
                        bool *failed)
{
    char *names = count ? dt_report_names(report, which, true) : NULL;
    *failed |= count && !names;
    if (names && *names)
        return names;
    free(names); /* only nodes that never said their name */
    return NULL;
}

static char *list_drains(const struct dt_report *report, const struct dt_problems *problems,
                         bool *failed)
{
    bool *which = calloc(report->node_count + 1, sizeof *which);
    size_t count = 0;
    *failed |= !which;
    for (size_t i = 0; which && i < report->node_count; i++) {
        which[i] = problems->drains[i] && !problems->drains[i]->print;
        count += which[i];
    }
    char *names = which ? list_names(report, which, count, failed) : NULL;
    free(which);
    return names;
}

int dt_report_verdict(const struct dt_report *report, struct dt_verdict *verdict,
                      struct dt_error *err)
{
    struct dt_problems problems;
    struct dt_buf reason = DT_BUF_INIT;
    bool failed = false;
    *verdict = (struct dt_verdict){.code = DT_EXIT_HELPER};
    if (dt_problems_collect(&problems, report) < 0)
        return dt_error_set(err, "the nodes could not be judged: out of memory");
    int code = problems.unfit_count || problems.disagree ? DT_EXIT_UNFIT
               : problems.lost_count                     ? DT_EXIT_INCOMPLETE
                                                         : DT_EXIT_OK;
    say_reason(&reason, report, &problems);
    verdict->reason = dt_buf_take(&reason);
    if (verdict->reason)
        dt_printable(verdict->reason);
    verdict->exclude = list_names(report, problems.blamed, problems.blamed_count, &failed);
    verdict->drain = list_drains(report, &problems, &failed);
    verdict->shared = list_shared(&problems, &failed);
    dt_problems_fini(&problems);
    if (failed || !verdict->reason) {
        dt_verdict_fini(verdict);
        verdict->code = DT_EXIT_HELPER;
        return dt_error_set(err, "the nodes could not be judged: out of memory");
    }
    verdict->go = code == DT_EXIT_OK || report->warn_only;
    verdict->code = verdict->go ? DT_EXIT_OK : code;
    return 0;
}
