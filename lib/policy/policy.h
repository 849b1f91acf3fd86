/* SPDX-License-Identifier: Apache-2.0 */
/* What the admin's dt.conf wants done with an unfit node. Who looks at a node asks here what to
 * propose, and has it done; dt-drain alone talks to Slurm, and asks here whether it is its turn.
 *
 * Only failures of checks whose scope is the node count: what a job brings along says nothing of
 * the node, and what was compared was judged by a process of the user. */
#ifndef DT_POLICY_POLICY_H
#define DT_POLICY_POLICY_H

#include <jansson.h>
#include <stdbool.h>
#include <time.h>

#include "base/error.h"
#include "check/check.h"
#include "conf/conf.h"

/* Slurm's accounting keeps 255 bytes of a reason (its column is a TINYTEXT). */
#define DT_REASON_MAX 255

/* One failure that would drain its node. */
struct dt_proposal {
    char *check;
    char *state;  /* "DRAIN" or "FAIL" */
    char *reason; /* at most DT_REASON_MAX bytes, printable, one line */
    bool print;   /* drain-how = "print": nobody but an admin is to do it */
};

struct dt_proposals {
    struct dt_proposal *items; /* worst severity first */
    size_t count;
};

int dt_policy_propose(struct dt_proposals *proposals, const struct dt_conf *conf,
                      const struct dt_check_results *results, struct dt_error *err);
void dt_proposals_fini(struct dt_proposals *proposals);

/* How they travel: an array of {"check","state","reason","print"}. From outside: checks of the
 * registry, the two states, texts made printable and cut. NULL, or -1: out of memory, or wrong. */
json_t *dt_proposals_to_json(const struct dt_proposals *proposals);
int dt_proposals_from_json(struct dt_proposals *proposals, const json_t *array,
                           struct dt_error *err);

/* scontrol's command for an admin to paste into a shell. Caller frees; NULL: no memory. */
char *dt_policy_command(const struct dt_proposal *proposal, const char *node);

/* ---- doing it --------------------------------------------------------------------------------- */

enum dt_drain_end {
    DT_DRAIN_DONE,
    DT_DRAIN_LIMIT, /* as many as may be are drained */
    DT_DRAIN_LEFT,  /* somebody else has the node in hand */
    DT_DRAIN_LATE,  /* it goes on by itself, and tells syslog */
    DT_DRAIN_FAILED
};

/* Start dt-drain, as root and on the node that is to be drained, and wait for it, wait_ms at most.
 * *sentence: what became of it; caller frees; NULL: no memory. */
enum dt_drain_end dt_policy_drain(const struct dt_conf *conf, const struct dt_proposal *proposal,
                                  int wait_ms, char **sentence);

/* ---- the limit: drain-max-nodes within drain-in-minutes, over the cluster ----------------------
 *
 * Before a node is drained it gets a ticket, which slurmctld shows to all (in the node's "extra":
 * 22.05 keeps no reason on a node that is well). slurmctld takes one request after the other, so
 * of any two nodes that ask at one moment the later sees the ticket of the earlier. A node may be
 * drained when all other tickets and all drains leave room for it; so the last of those that are
 * drained has counted all the others. Where there is no room for all that ask, those whose names
 * come last give up, and the others look again. */
struct dt_ticket {
    const char *node;
    time_t since; /* of the drain, or when the ticket was written */
    bool drained; /* by dt; else it asks */
};

#define DT_TICKET_STALE_S 600 /* dt-drain lives for 25 s at most, and clocks differ */

enum dt_turn {
    DT_TURN_NOW,
    DT_TURN_WAIT, /* for others to give up */
    DT_TURN_NEVER /* no room */
};

/* node: of the asker, who is not among the others. *before: how many of them count. */
enum dt_turn dt_policy_turn(const struct dt_ticket *others, size_t count, const char *node,
                            time_t now, long long max_nodes, long long window_s, size_t *before);

#endif
