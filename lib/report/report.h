/* SPDX-License-Identifier: Apache-2.0 */
/* What the gathered job knows of its nodes, and how it is shown: a terminal table and JSON. */
#ifndef DT_REPORT_REPORT_H
#define DT_REPORT_REPORT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "check/check.h"
#include "compare/compare.h"
#include "facts/facts.h"
#include "policy/policy.h"

/* How a node came to be lost. */
enum dt_lost {
    DT_LOST_SILENT, /* it never connected, or sent nothing in time */
    DT_LOST_FAILED, /* it connected; the reason says what went wrong there */
    DT_LOST_CONFIG, /* as before, and it is a configuration file of dt that is wrong there */
    DT_LOST_LEFT    /* it reported, and was gone before the verdict */
};

struct dt_report_node {
    char *name;                     /* NULL: never said its name ("node 3 of 4") */
    struct dt_facts facts;          /* those that are compared or shown; .doc NULL: no report */
    struct dt_check_results checks; /* those that did not pass */
    size_t ran;                     /* checks that were made, whatever their result */
    char *env_summary;              /* what the environment judge did there */
    char *detail;     /* members checks and facts of the document (detail.h); NULL: the above */
    char *lost;       /* NULL: reported; else the reason: "no connection in 5.0 s" */
    enum dt_lost how; /* where lost is not NULL */
    struct dt_proposals drains; /* what its dt.conf would have it drained for */
    long took_us;               /* in dt-node */
};

struct dt_report {
    struct dt_report_node *nodes; /* by node id of the step */
    size_t node_count;
    struct dt_findings findings; /* of the comparison */
    enum dt_level level;
    bool warn_only; /* --dt-on-fail=warn */
    long took_us;   /* first connection to verdict */
    char *job;      /* "123.0" */
};

struct dt_verdict {
    bool go;
    int code;      /* enum dt_exit */
    char *reason;  /* one sentence */
    char *exclude; /* compressed node list of the unfit, or NULL */
    char *drain;   /* compressed node list of those that may drain themselves, or NULL */
    char *shared;  /* "a,b": checks whose failure is not the nodes' own, or NULL */
};

/* Judge: fills the verdict. Caller calls dt_verdict_fini. */
int dt_report_verdict(const struct dt_report *report, struct dt_verdict *verdict,
                      struct dt_error *err);
void dt_verdict_fini(struct dt_verdict *verdict);
void dt_report_fini(struct dt_report *report);
void dt_report_node_fini(struct dt_report_node *node);

/* The table for people, without trailing blank line. width: columns of the terminal, 0 = unknown
 * (100). color: ANSI colours. Good nodes are folded into one line; bad ones get a line a failed
 * check. Caller frees. */
char *dt_report_table(const struct dt_report *report, const struct dt_verdict *verdict, int width,
                      bool color);

/* The document that --dt-report=FILE gets; schema 1 in docs/report.schema.json. It is handed to
 * `write` piece by piece, since that of many nodes is large. 0; else what `write` returned first
 * that was not 0, or -1: out of memory. */
int dt_report_write(const struct dt_report *report, const struct dt_verdict *verdict,
                    json_dump_callback_t write, void *context);

#endif
