/* SPDX-License-Identifier: Apache-2.0 */
/* Telling dt-gather that dt-node failed on this node, when dt-node can not do so itself: the other
 * nodes are then refused at once, instead of waiting for this one until the deadline. */
#ifndef DT_SPANK_GATHER_H
#define DT_SPANK_GATHER_H

#include <stdbool.h>

#include "text.h"

/* Who this node is, as dt-node would have said in its hello. */
struct gather_node {
    const char *name;
    unsigned job, step, id, count, tasks;
    long component, components; /* components 0: no het job */
};

/* Connects to any address of the rendezvous text and says "hello" and "failed". true: dt-gather
 * welcomed us, so its table names this node with the reason. Takes wait_ms at most. */
bool gather_tell(const char *rendezvous, const struct gather_node *node, int code,
                 const char *reason, int wait_ms);

/* The two frames, for gather_tell and tests. */
void gather_format(struct text *frames, const struct gather_node *node, const char *token, int code,
                   const char *reason);

#endif
