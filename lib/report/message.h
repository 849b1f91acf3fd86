/* SPDX-License-Identifier: Apache-2.0 */
/* What a node sends to dt-gather, message "report": both ends build and judge it here.
 *
 * It holds what comparison, table and verdict need, and no more: the facts that are compared or
 * shown, how many checks ran, and those of them that did not pass. That is 1 KB of a good node,
 * where all the facts of one with 32 EFA devices are 10 KB. Where dt-gather's welcome asks for them
 * ("full": true), because a report file is wanted, they go ahead of it (detail.h). */
#ifndef DT_REPORT_MESSAGE_H
#define DT_REPORT_MESSAGE_H

#include <jansson.h>

#include "report/report.h"

struct dt_report_message {
    const struct dt_facts *facts;
    const struct dt_check_results *checks;
    const char *env; /* what the environment judge did */
    int port;        /* reserved on the node; 0: none */
    long took_us;
    const struct dt_proposals
        *drains; /* what the node's dt.conf would have it drained for; NULL: nothing */
};

/* New reference; NULL: no memory. */
json_t *dt_report_message(const struct dt_report_message *message);

/* Fill facts, checks, ran, env_summary, drains and took_us of a node that has none of them. On -1 the node
 * is as before. */
int dt_report_take(struct dt_report_node *node, int *port, const json_t *object,
                   struct dt_error *err);

#endif
