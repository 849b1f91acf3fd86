/* SPDX-License-Identifier: Apache-2.0 */
/* The table for people: what was looked at, what is wrong and what to do, whom to leave out. */
#include <stdlib.h>
#include <string.h>

#include "base/exitcode.h"
#include "report/columns.h"
#include "report/good.h"
#include "report/problems.h"

enum { ROWS_MAX = 30, WIDTH_UNKNOWN = 100, WIDTH_MIN = 60, WIDTH_SOURCE = 140 };

static void say_time(struct dt_buf *out, long us)
{
    if (us < 1000000)
        dt_buf_printf(out, "%ld ms", (us + 500) / 1000);
    else
        dt_buf_printf(out, "%.1f s", (double)us / 1e6);
}

/* "13 checks each and 10 compared, 41 ms" */
static void say_work(struct dt_buf *out, const struct dt_report *report)
{
    size_t fewest, most;
    dt_report_check_counts(report, &fewest, &most);
    if (fewest != most)
        dt_buf_printf(out, "%zu to ", fewest);
    dt_buf_printf(out, "%zu check%s%s", most, most == 1 ? "" : "s",
                  report->node_count > 1 ? " each" : "");
    if (report->findings.checks)
        dt_buf_printf(out, " and %zu compared", report->findings.checks);
    dt_buf_puts(out, ", ");
    say_time(out, report->took_us);
}

static void say_bad_head(struct dt_buf *out, const struct dt_report *report,
                         const struct dt_problems *problems, bool color)
{
    struct dt_buf text = DT_BUF_INIT;
    size_t total = report->node_count;
    const char *nodes = total == 1 ? "" : "s";
    if (problems->unfit_count)
        dt_buf_printf(&text, "%zu of %zu node%s %s NOT fit", problems->unfit_count, total, nodes,
                      problems->unfit_count == 1 ? "is" : "are");
    if (problems->lost_count && text.len)
        dt_buf_printf(&text, " and %zu %s", problems->lost_count,
                      dt_report_lost_verb(problems, false));
    else if (problems->lost_count)
        dt_buf_printf(&text, "%zu of %zu node%s %s", problems->lost_count, total, nodes,
                      dt_report_lost_verb(problems, true));
    if (problems->disagree)
        dt_buf_printf(
            &text, text.len ? ", and the nodes do NOT agree" : "the %zu nodes do NOT agree", total);
    dt_buf_puts(out, "dt: ");
    dt_paint(out, DT_PAINT_RED, text.data ? text.data : "", color);
    dt_buf_puts(out, " (");
    say_work(out, report);
    dt_buf_printf(out, "). %s\n",
                  report->warn_only ? "Started all the same, as --dt-on-fail=warn asks."
                                    : "Nothing was started.");
    dt_buf_fini(&text);
}

static void say_good_head(struct dt_buf *out, const struct dt_report *report)
{
    dt_buf_printf(out, "dt: %zu node%s: ", report->node_count,
                  report->node_count == 1 ? " fits" : "s fit");
    say_work(out, report);
    dt_buf_puts(out, "\n");
}

static enum dt_paint paint_of(enum dt_result result)
{
    return result == DT_FAIL ? DT_PAINT_RED : DT_PAINT_YELLOW;
}

static void say_problems(struct dt_buf *out, const struct dt_report *report,
                         const struct dt_problems *problems, int width, bool color)
{
    struct dt_columns columns = {.count = 7};
    /* With failures alone a column that says FAIL in each row tells nothing. */
    bool tell = problems->unknown || problems->warned;
    /* Where a value comes from is for those who have the room; --dt-report has it always. */
    bool from = width >= WIDTH_SOURCE;
    const char *const head[] = {tell ? "result" : NULL, "node",     "check", "found", "wanted",
                                from ? "source" : NULL, "next step"};
    if (problems->count == 0)
        return;
    dt_columns_add(&columns, head, columns.count, DT_PAINT_DIM);
    for (size_t i = 0; i < problems->count && i < ROWS_MAX; i++) {
        const struct dt_problem *row = &problems->items[i];
        char *names =
            row->count ? dt_report_row_names(report, row->nodes, row->count) : strdup("all");
        const char *const cells[] = {tell ? dt_result_name(row->result) : NULL,
                                     names ? names : "?",
                                     row->check,
                                     row->value,
                                     row->limit,
                                     from ? row->source : NULL,
                                     row->next};
        dt_columns_add(&columns, cells, tell ? 0 : 2, paint_of(row->result));
        free(names);
    }
    dt_columns_print(&columns, out, "dt:   ", width, color);
    if (problems->count > ROWS_MAX)
        dt_buf_printf(out, "dt:   and %zu more rows: --dt-report=FILE holds them all\n",
                      problems->count - ROWS_MAX);
    dt_columns_fini(&columns);
}

static void say_shared(struct dt_buf *out, const struct dt_report *report,
                       const struct dt_problems *problems)
{
    size_t row = 0, nodes;
    const char *check;
    while ((check = dt_problems_next_shared(problems, &row, &nodes)))
        dt_buf_printf(out,
                      "dt: %s fails on %zu of %zu nodes: that looks like a shared cause, not the "
                      "nodes\n",
                      check, nodes, report->node_count);
    if (problems->held_count)
        dt_buf_printf(out, "dt: so none of the %zu is drained, though dt.conf's drain-on would\n",
                      problems->held_count);
}

/* What dt.conf has done with nodes that failed by themselves. */
static void say_drains(struct dt_buf *out, const struct dt_report *report,
                       const struct dt_problems *problems)
{
    for (size_t i = 0; i < report->node_count; i++) {
        const struct dt_proposal *drain = problems->drains[i];
        if (!drain)
            continue;
        char *command = drain->print ? dt_policy_command(drain, report->nodes[i].name) : NULL;
        if (command)
            dt_buf_printf(out, "dt: an admin may drain it:  %s\n", command);
        else
            dt_buf_printf(out,
                          "dt: %s drains itself, as dt.conf asks for %s, unless its limit is "
                          "reached\n",
                          report->nodes[i].name, drain->check);
        free(command);
    }
}

static void say_passed(struct dt_buf *out, const struct dt_report *report,
                       const struct dt_problems *problems)
{
    bool *passed = calloc(report->node_count + 1, sizeof *passed);
    size_t count = 0;
    for (size_t i = 0; passed && i < report->node_count; i++) {
        passed[i] = !problems->unfit[i] && !report->nodes[i].lost;
        count += passed[i];
    }
    char *names = passed && count ? dt_report_names(report, passed, false) : NULL;
    if (names)
        dt_buf_printf(out, "dt: %zu node%s passed: %s\n", count, count == 1 ? "" : "s", names);
    free(names);
    free(passed);
}

static void say_what_next(struct dt_buf *out, const struct dt_problems *problems,
                          const struct dt_verdict *verdict)
{
    if (verdict->go)
        return;
    if (verdict->exclude)
        dt_buf_printf(out, "dt: to run without %s, add:  --exclude=%s            (exit code %d)\n",
                      problems->blamed_count == 1 ? "it" : "them", verdict->exclude, verdict->code);
    else if (problems->nameless_count)
        dt_buf_printf(out,
                      "dt: %zu node%s never said %s name, so none can be named to exclude; "
                      "'scontrol show job' lists the job's nodes (exit code %d)\n",
                      problems->nameless_count, problems->nameless_count == 1 ? "" : "s",
                      problems->nameless_count == 1 ? "its" : "their", verdict->code);
    else
        dt_buf_printf(out,
                      "dt: no node is to blame alone, so none is named to exclude; "
                      "--dt-on-fail=warn starts all the same (exit code %d)\n",
                      verdict->code);
}

char *dt_report_table(const struct dt_report *report, const struct dt_verdict *verdict, int width,
                      bool color)
{
    struct dt_problems problems;
    struct dt_buf out = DT_BUF_INIT;
    width = width <= 0 ? WIDTH_UNKNOWN : width < WIDTH_MIN ? WIDTH_MIN : width;
    if (dt_problems_collect(&problems, report) < 0)
        return NULL;
    if (problems.unfit_count || problems.lost_count || problems.disagree) {
        say_bad_head(&out, report, &problems, color);
        say_problems(&out, report, &problems, width, color);
        say_shared(&out, report, &problems);
        say_passed(&out, report, &problems);
        say_what_next(&out, &problems, verdict);
        say_drains(&out, report, &problems);
    } else {
        say_good_head(&out, report);
        dt_report_good_nodes(&out, report, width, color);
        say_problems(&out, report, &problems, width, color);
    }
    dt_problems_fini(&problems);
    return dt_buf_take(&out);
}
