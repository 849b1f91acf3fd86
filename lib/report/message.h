/* SPDX-License-Identifier: Apache-2.0 */
/* What a node sends to dt-gather, message "report": both ends build and judge it here.
 *
 * The brief form holds what comparison, table and verdict need, and no more: the facts that are
 * compared or shown, how many checks ran, and those of them that did not pass. It is 0.5 to 2 KB,
 * where all the facts of a node with 32 EFA devices are 12 KB. The full form holds all facts and
 * all checks; a node sends it when dt-gather's welcome asks for it ("full": true), because a report
 * file is wanted. Whoever takes a report need not know which form it is. */
#ifndef DT_REPORT_MESSAGE_H
#define DT_REPORT_MESSAGE_H

#include <jansson.h>
#include <stdbool.h>

#include "report/report.h"

struct dt_report_message {
    const struct dt_facts *facts;
    const struct dt_check_results *checks;
    const char *env; /* what the environment judge did */
    int port;        /* reserved on the node; 0: none */
    long took_us;
};

/* New reference; NULL: no memory. */
json_t *dt_report_message(const struct dt_report_message *message, bool full);

/* Fill facts, checks, ran, env_summary, took_us and, with keep_detail, detail of a node that has
 * none of them. On -1 the node is as before. */
int dt_report_take(struct dt_report_node *node, int *port, const json_t *object, bool keep_detail,
                   struct dt_error *err);

#endif
