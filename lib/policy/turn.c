/* SPDX-License-Identifier: Apache-2.0 */
/* Is there room in the limit on drains? policy.h says why this is safe. */
#include <string.h>

#include "policy/policy.h"

static bool counts(const struct dt_ticket *ticket, time_t now, long long window_s)
{
    return ticket->since > now - (ticket->drained ? window_s : DT_TICKET_STALE_S);
}

enum dt_turn dt_policy_turn(const struct dt_ticket *others, size_t count, const char *node,
                            time_t now, long long max_nodes, long long window_s, size_t *before)
{
    long long ahead = 0;
    *before = 0;
    for (size_t i = 0; i < count; i++) {
        const struct dt_ticket *other = &others[i];
        if (!counts(other, now, window_s))
            continue;
        *before += 1;
        ahead += other->drained || strcmp(other->node, node) < 0;
    }
    if ((long long)*before < max_nodes)
        return DT_TURN_NOW;
    return ahead < max_nodes ? DT_TURN_WAIT : DT_TURN_NEVER;
}
