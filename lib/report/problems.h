/* SPDX-License-Identifier: Apache-2.0 */
/* Inside lib/report: everything that is not right, as rows: nodes with the same finding are one
 * row. */
#ifndef DT_REPORT_PROBLEMS_H
#define DT_REPORT_PROBLEMS_H

#include "report/report.h"

#define DT_LOST_CHECK "report" /* the row of nodes that did not report */

struct dt_problem {
    enum dt_result result; /* WARN, UNKNOWN or FAIL */
    const char *check, *value, *limit, *next;
    const char *source; /* of the first of them */
    size_t *nodes;      /* by node id, each once; none: it is about all of them */
    size_t count;
    bool shared; /* too many nodes fail this check for it to be the nodes' own fault */
};

struct dt_problems {
    struct dt_problem *items; /* worst first */
    size_t count;
    size_t *storage;
    bool *unfit;  /* per node: failed a check or comparison */
    bool *blamed; /* per node: failed, or lost, by its own fault as far as can be told */
    size_t unfit_count, lost_count, blamed_count;
    size_t left_count;      /* of the lost: they had reported */
    size_t nameless_count;  /* of the blamed: they never said their name */
    bool disagree;          /* a comparison failed with nobody to blame */
    size_t unknown, warned; /* rows */
    /* per node: for what its dt.conf has it drained; NULL: for nothing, or nothing of its own */
    const struct dt_proposal **drains;
    size_t drain_count;
    size_t held_count; /* nodes that would be drained, had they not failed together */
};

/* Texts are borrowed from the report. -1: out of memory. */
int dt_problems_collect(struct dt_problems *problems, const struct dt_report *report);
void dt_problems_fini(struct dt_problems *problems);

/* "dt-[1-3]" of the nodes for which `which` holds true; a node without a name is "node 3 of 4" at
 * the end unless names_only. Caller frees; NULL: no memory. */
char *dt_report_names(const struct dt_report *report, const bool *which, bool names_only);
char *dt_report_row_names(const struct dt_report *report, const size_t *nodes, size_t count);

/* The next shared check from *row on, each once, and how many nodes fail it; NULL: no more. */
const char *dt_problems_next_shared(const struct dt_problems *problems, size_t *row, size_t *nodes);

/* What the lost nodes did: "did not report"; loud, for headlines: "did NOT report". */
const char *dt_report_lost_verb(const struct dt_problems *problems, bool loud);

/* Fewest and most checks that ran on a node (SKIP is not counted). */
void dt_report_check_counts(const struct dt_report *report, size_t *fewest, size_t *most);

#endif
