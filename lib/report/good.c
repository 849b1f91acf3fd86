/* SPDX-License-Identifier: Apache-2.0 */
/* Good nodes in one line. */
#include "report/good.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "facts/printable.h"
#include "report/columns.h"
#include "report/problems.h"

enum { LINES_MAX = 8, TRAITS = 7 };

/* What one line tells of its nodes. */
struct kind {
    char traits[TRAITS][48];
    size_t *nodes;
    size_t count;
};

/* "5.15.0-1063-aws" -> "5.15" */
static int two_numbers(const char *version)
{
    const char *dot = strchr(version, '.');
    return dot ? (int)(dot - version + 1 + (long)strspn(dot + 1, "0123456789"))
               : (int)strlen(version);
}

static void describe(struct kind *kind, const struct dt_report_node *node)
{
    const struct dt_facts *facts = &node->facts;
    const char *text;
    long long gpus, neurons, efas, mib;
    memset(kind->traits, 0, sizeof kind->traits);
    const size_t size = sizeof kind->traits[0];
    snprintf(kind->traits[0], size, "%.40s",
             dt_facts_string(facts, "instance.type", &text) ? text : "unknown type");
    bool has_neuron = dt_facts_int(facts, "neuron.count", &neurons) && neurons > 0;
    if (has_neuron)
        snprintf(kind->traits[1], size, "%lld Neuron", neurons);
    else if (dt_facts_int(facts, "gpu.count", &gpus) && gpus > 0)
        snprintf(kind->traits[1], size, "%lld GPU%s", gpus, gpus == 1 ? "" : "s");
    if (dt_facts_int(facts, "efa.count", &efas) && efas > 0)
        snprintf(kind->traits[2], size, "%lld EFA", efas);
    if (dt_facts_int(facts, "mem.total_mib", &mib) && mib > 0)
        snprintf(kind->traits[3], size, "%lld GiB", mib / 1024 + (mib % 1024 >= 512));
    if (dt_facts_string(facts, "kernel.release", &text))
        snprintf(kind->traits[4], size, "Linux %.*s", two_numbers(text) % 24, text);
    if (dt_facts_string(facts, has_neuron ? "driver.neuron" : "driver.nvidia", &text))
        snprintf(kind->traits[5], size, "driver %.*s", two_numbers(text) % 24, text);
    /* What is not known has not passed. */
    snprintf(kind->traits[6], size, "%s",
             dt_check_worst(&node->checks) == DT_UNKNOWN ? "NOT ALL KNOWN" : "PASS");
}

/* Sort nodes into kinds; linear in nodes x kinds, and of kinds only the first few are kept apart.
 */
static size_t sort_kinds(struct kind *kinds, size_t *storage, const struct dt_report *report)
{
    size_t count = 0;
    for (size_t i = 0; i < report->node_count; i++) {
        struct kind mine = {0};
        size_t k = 0;
        if (report->nodes[i].lost || !report->nodes[i].facts.doc)
            continue;
        describe(&mine, &report->nodes[i]);
        while (k < count && memcmp(kinds[k].traits, mine.traits, sizeof mine.traits) != 0)
            k++;
        if (k == LINES_MAX) /* the last line takes the rest */
            k = LINES_MAX - 1;
        if (k == count) {
            kinds[k] = mine;
            kinds[k].nodes = storage + k * report->node_count;
            count++;
        }
        kinds[k].nodes[kinds[k].count++] = i;
        if (k == LINES_MAX - 1 && memcmp(kinds[k].traits, mine.traits, sizeof mine.traits) != 0) {
            memset(kinds[k].traits, 0, sizeof kinds[k].traits);
            snprintf(kinds[k].traits[0], sizeof kinds[k].traits[0], "of more kinds");
        }
    }
    return count;
}

/* What the environment judge did, once when it did the same everywhere. */
static void say_environment(struct dt_buf *out, const struct dt_report *report)
{
    const char *first = NULL;
    size_t differ = 0;
    for (size_t i = 0; i < report->node_count; i++) {
        const char *mine = report->nodes[i].env_summary;
        if (!mine || !*mine)
            continue;
        first = first ? first : mine;
        differ += strcmp(first, mine) != 0;
    }
    if (!first)
        return;
    char *text = strdup(first);
    if (text) {
        dt_printable(text);
        dt_buf_printf(out, "dt:   %s", text);
        if (differ)
            dt_buf_printf(out, " (otherwise on %zu node%s)", differ, differ == 1 ? "" : "s");
        dt_buf_puts(out, "\n");
    }
    free(text);
}

/* What was measured by a step of the job before. */
static void say_reused(struct dt_buf *out, const struct dt_report *report)
{
    long long oldest = 0, age;
    size_t count = 0;
    for (size_t i = 0; i < report->node_count; i++) {
        if (!report->nodes[i].facts.doc ||
            !dt_facts_int(&report->nodes[i].facts, "measured.age_s", &age))
            continue;
        oldest = age > oldest ? age : oldest;
        count++;
    }
    if (count)
        dt_buf_printf(out,
                      "dt:   measured up to %lld s ago, by an earlier step, on %zu of %zu node%s; "
                      "--dt-validate=deep,fresh measures again\n",
                      oldest, count, report->node_count, report->node_count == 1 ? "" : "s");
}

void dt_report_good_nodes(struct dt_buf *out, const struct dt_report *report, int width, bool color)
{
    struct kind kinds[LINES_MAX];
    struct dt_columns columns = {.count = TRAITS + 1};
    size_t *storage = calloc(LINES_MAX * (report->node_count + 1), sizeof *storage);
    size_t count = storage ? sort_kinds(kinds, storage, report) : 0;
    for (size_t k = 0; k < count; k++) {
        char *names = dt_report_row_names(report, kinds[k].nodes, kinds[k].count);
        const char *cells[TRAITS + 1] = {names ? names : "?"};
        for (size_t t = 0; t < TRAITS; t++)
            cells[t + 1] = kinds[k].traits[t];
        bool passed = strcmp(kinds[k].traits[TRAITS - 1], "PASS") == 0;
        dt_columns_add(&columns, cells, TRAITS, passed ? DT_PAINT_GREEN : DT_PAINT_YELLOW);
        free(names);
    }
    dt_columns_print(&columns, out, "dt:   ", width, color);
    dt_columns_fini(&columns);
    free(storage);
    say_environment(out, report);
    say_reused(out, report);
}
