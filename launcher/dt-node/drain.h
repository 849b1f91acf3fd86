/* SPDX-License-Identifier: Apache-2.0 */
/* Draining this very node, as dt.conf asks. */
#ifndef DT_NODE_DRAIN_H
#define DT_NODE_DRAIN_H

#include "conf/conf.h"
#include "policy/policy.h"
#include "wire/message.h"

/* Before the ranks hear the verdict, so that no other job gets the node in between; half a second at
 * most. The verdict comes from a process of the user: it can keep this from happening, or let happen
 * what root's own checks of this node have found. That it is drained was told by
 * the table, and dt-drain tells syslog; what else became of it is told here, on standard error. */
void drain_self(const struct dt_proposals *proposals, const struct dt_conf *conf,
                const struct dt_decision *decision, const char *node);

#endif
