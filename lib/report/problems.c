/* SPDX-License-Identifier: Apache-2.0 */
/* Gathering what is wrong: from checks, comparisons and lost nodes, folded into rows. */
#include "report/problems.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/hostlist.h"

struct entry {
    struct dt_problem row;
    size_t node; /* SIZE_MAX: all */
};

struct entries {
    struct entry *items;
    size_t count;
};

static void add(struct entries *entries, size_t node, const struct dt_check_result *result)
{
    if (result->result < DT_WARN)
        return;
    entries->items[entries->count++] = (struct entry){
        .node = node,
        .row = {.result = result->result,
                .check = result->name,
                .value = result->value ? result->value : "",
                .limit = result->limit ? result->limit : "",
                .next = result->next ? result->next : "",
                .source = result->source ? result->source : ""},
    };
}

/* A node whose own check says the same or worse needs no second row from the comparison. */
static bool said_already(const struct dt_report_node *node, const struct dt_check_result *finding)
{
    for (size_t i = 0; i < node->checks.count; i++) {
        const struct dt_check_result *check = &node->checks.items[i];
        if (check->result >= finding->result && strcmp(check->name, finding->name) == 0)
            return true;
    }
    return false;
}

static const char *lost_next(enum dt_lost how)
{
    switch (how) {
    case DT_LOST_LEFT:
        return "look at slurmd's log on the node: its step ended there before the verdict";
    case DT_LOST_FAILED:
        return "look at slurmd's log on the node";
    case DT_LOST_CONFIG:
        return "tell the admin, or run without --dt-validate";
    default:
        return "look at slurmd's log on the node; is dt installed there, and its way here open?";
    }
}

static int list_entries(struct entries *entries, const struct dt_report *report)
{
    size_t most = report->findings.count + report->node_count + 1;
    for (size_t i = 0; i < report->node_count; i++)
        most += report->nodes[i].checks.count;
    entries->items = calloc(most, sizeof *entries->items);
    if (!entries->items)
        return -1;
    for (size_t i = 0; i < report->node_count; i++) {
        const struct dt_report_node *node = &report->nodes[i];
        struct dt_check_result lost = {.name = DT_LOST_CHECK,
                                       .result = DT_FAIL,
                                       .value = node->lost,
                                       .limit = (char *)(node->how == DT_LOST_CONFIG
                                                             ? "files of dt without a mistake"
                                                             : "a report in time"),
                                       .next = (char *)lost_next(node->how)};
        if (node->lost)
            add(entries, i, &lost);
        for (size_t k = 0; k < node->checks.count; k++)
            add(entries, i, &node->checks.items[k]);
    }
    for (size_t i = 0; i < report->findings.count; i++) {
        const struct dt_finding *finding = &report->findings.items[i];
        bool all = finding->node >= report->node_count;
        if (all || !said_already(&report->nodes[finding->node], &finding->result))
            add(entries, all ? SIZE_MAX : finding->node, &finding->result);
    }
    return 0;
}

static int same_row(const struct dt_problem *a, const struct dt_problem *b)
{
    int order = (int)b->result - (int)a->result;
    if (!order)
        order = strcmp(a->check, b->check);
    if (!order)
        order = strcmp(a->value, b->value);
    if (!order)
        order = strcmp(a->limit, b->limit);
    return order ? order : strcmp(a->next, b->next);
}

static int by_row(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int order = same_row(&x->row, &y->row);
    return order ? order : x->node < y->node ? -1 : x->node > y->node;
}

/* Worst first, then in the order of the nodes. */
static int by_badness(const void *a, const void *b)
{
    const struct dt_problem *x = a, *y = b;
    if (x->result != y->result)
        return (int)y->result - (int)x->result;
    size_t first = x->count ? x->nodes[0] : SIZE_MAX, second = y->count ? y->nodes[0] : SIZE_MAX;
    if (first != second)
        return first < second ? -1 : 1;
    return same_row(x, y);
}

static void fold(struct dt_problems *problems, const struct entries *entries)
{
    size_t used = 0, count = 0;
    for (size_t i = 0; i < entries->count; i++) {
        const struct entry *entry = &entries->items[i];
        struct dt_problem *row = count ? &problems->items[count - 1] : NULL;
        if (!row || same_row(row, &entry->row) != 0 ||
            (entry->node == SIZE_MAX) != (row->count == 0)) {
            row = &problems->items[count++];
            *row = entry->row;
            row->nodes = problems->storage + used;
        }
        if (entry->node == SIZE_MAX || (row->count && row->nodes[row->count - 1] == entry->node))
            continue;
        problems->storage[used++] = entry->node;
        row->count++;
    }
    problems->count = count;
}

/* A check that more than two nodes and more than a fifth of all fail is not the nodes' own failure.
 */
static void find_shared(struct dt_problems *problems, bool *seen, size_t node_count)
{
    for (size_t i = 0; i < problems->count; i++) {
        struct dt_problem *row = &problems->items[i];
        if (row->result != DT_FAIL || row->shared)
            continue;
        size_t nodes = 0;
        memset(seen, 0, node_count * sizeof *seen);
        for (size_t k = i; k < problems->count; k++) {
            const struct dt_problem *other = &problems->items[k];
            if (other->result != DT_FAIL || strcmp(other->check, row->check) != 0)
                continue;
            for (size_t n = 0; n < other->count; n++) {
                nodes += !seen[other->nodes[n]];
                seen[other->nodes[n]] = true;
            }
        }
        bool shared = nodes > 2 && nodes * 5 > node_count;
        for (size_t k = i; shared && k < problems->count; k++) {
            struct dt_problem *other = &problems->items[k];
            other->shared |= other->result == DT_FAIL && strcmp(other->check, row->check) == 0;
        }
    }
}

static bool names_shared(const struct dt_problems *problems, const char *check)
{
    for (size_t i = 0; i < problems->count; i++) {
        if (problems->items[i].shared && strcmp(problems->items[i].check, check) == 0)
            return true;
    }
    return false;
}

/* The brake: what too many nodes fail drains none of them. */
static void choose_drains(struct dt_problems *problems, const struct dt_report *report)
{
    for (size_t i = 0; i < report->node_count; i++) {
        const struct dt_report_node *node = &report->nodes[i];
        if (node->lost || !node->name || node->drains.count == 0)
            continue;
        for (size_t k = 0; k < node->drains.count && !problems->drains[i]; k++) {
            if (!names_shared(problems, node->drains.items[k].check))
                problems->drains[i] = &node->drains.items[k];
        }
        problems->drain_count += problems->drains[i] != NULL;
        problems->held_count += problems->drains[i] == NULL;
    }
}

const char *dt_problems_next_shared(const struct dt_problems *problems, size_t *row, size_t *nodes)
{
    for (; *row < problems->count; ++*row) {
        const struct dt_problem *problem = &problems->items[*row];
        bool again = !problem->shared;
        for (size_t i = 0; i < *row && !again; i++)
            again =
                problems->items[i].shared && strcmp(problems->items[i].check, problem->check) == 0;
        if (again)
            continue;
        *nodes = 0;
        for (size_t i = *row; i < problems->count; i++) {
            if (problems->items[i].shared && strcmp(problems->items[i].check, problem->check) == 0)
                *nodes += problems->items[i].count;
        }
        ++*row;
        return problem->check;
    }
    return NULL;
}

/* Leaving nodes out does not help against a variable that the job brings along. */
static bool is_jobs_own(const struct dt_problem *row)
{
    return strcmp(row->check, "env") == 0;
}

static void count_nodes(struct dt_problems *problems, const struct dt_report *report)
{
    for (size_t i = 0; i < problems->count; i++) {
        const struct dt_problem *row = &problems->items[i];
        problems->unknown += row->result == DT_UNKNOWN;
        problems->warned += row->result == DT_WARN;
        if (row->result != DT_FAIL)
            continue;
        problems->disagree |= row->count == 0;
        for (size_t n = 0; n < row->count; n++) {
            problems->unfit[row->nodes[n]] |= strcmp(row->check, DT_LOST_CHECK) != 0;
            problems->blamed[row->nodes[n]] |= !row->shared && !is_jobs_own(row);
        }
    }
    for (size_t i = 0; i < report->node_count; i++) {
        problems->unfit_count += problems->unfit[i];
        problems->blamed_count += problems->blamed[i];
        problems->lost_count += report->nodes[i].lost != NULL;
        problems->nameless_count += problems->blamed[i] && !report->nodes[i].name;
        problems->left_count += report->nodes[i].lost && report->nodes[i].how == DT_LOST_LEFT;
    }
}

int dt_problems_collect(struct dt_problems *problems, const struct dt_report *report)
{
    struct entries entries = {0};
    *problems = (struct dt_problems){0};
    bool *seen = calloc(report->node_count + 1, sizeof *seen);
    problems->unfit = calloc(report->node_count + 1, sizeof *problems->unfit);
    problems->blamed = calloc(report->node_count + 1, sizeof *problems->blamed);
    /* NOLINTNEXTLINE(bugprone-sizeof-expression): an array of pointers */
    problems->drains = calloc(report->node_count + 1, sizeof *problems->drains);
    int rc = seen && problems->unfit && problems->blamed && problems->drains
                 ? list_entries(&entries, report)
                 : -1;
    if (rc == 0) {
        problems->items = calloc(entries.count + 1, sizeof *problems->items);
        problems->storage = calloc(entries.count + 1, sizeof *problems->storage);
        rc = problems->items && problems->storage ? 0 : -1;
    }
    if (rc == 0) {
        qsort(entries.items, entries.count, sizeof *entries.items, by_row);
        fold(problems, &entries);
        qsort(problems->items, problems->count, sizeof *problems->items, by_badness);
        find_shared(problems, seen, report->node_count);
        count_nodes(problems, report);
        choose_drains(problems, report);
    } else {
        dt_problems_fini(problems);
    }
    free(entries.items);
    free(seen);
    return rc;
}

void dt_problems_fini(struct dt_problems *problems)
{
    free(problems->items);
    free(problems->storage);
    free(problems->unfit);
    free(problems->blamed);
    free(problems->drains);
    *problems = (struct dt_problems){0};
}

char *dt_report_row_names(const struct dt_report *report, const size_t *nodes, size_t count)
{
    bool *which = calloc(report->node_count + 1, sizeof *which);
    if (!which)
        return NULL;
    for (size_t i = 0; i < count; i++)
        which[nodes[i]] = true;
    char *text = dt_report_names(report, which, false);
    free(which);
    return text;
}

char *dt_report_names(const struct dt_report *report, const bool *which, bool names_only)
{
    char **names = calloc(report->node_count + 1, sizeof *names);
    struct dt_buf buf = DT_BUF_INIT;
    size_t count = 0;
    if (!names)
        return NULL;
    for (size_t i = 0; i < report->node_count; i++) {
        if (which[i] && report->nodes[i].name)
            names[count++] = report->nodes[i].name;
    }
    char *folded = count ? dt_hostlist_compress(names, count) : NULL;
    free(names);
    if (count && !folded)
        return NULL;
    dt_buf_puts(&buf, folded ? folded : "");
    free(folded);
    for (size_t i = 0; !names_only && i < report->node_count; i++) {
        if (which[i] && !report->nodes[i].name)
            dt_buf_printf(&buf, "%snode %zu of %zu", buf.len ? ", " : "", i + 1,
                          report->node_count);
    }
    return dt_buf_take(&buf);
}

const char *dt_report_lost_verb(const struct dt_problems *problems, bool loud)
{
    if (problems->left_count == 0)
        return loud ? "did NOT report" : "did not report";
    if (problems->left_count == problems->lost_count)
        return "went away after reporting";
    return loud ? "did NOT report or went away" : "did not report or went away";
}

void dt_report_check_counts(const struct dt_report *report, size_t *fewest, size_t *most)
{
    bool first = true;
    *fewest = *most = 0;
    for (size_t i = 0; i < report->node_count; i++) {
        size_t ran = report->nodes[i].ran;
        if (report->nodes[i].lost)
            continue;
        *fewest = first || ran < *fewest ? ran : *fewest;
        *most = ran > *most ? ran : *most;
        first = false;
    }
}
