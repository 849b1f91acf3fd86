/* SPDX-License-Identifier: Apache-2.0 */
/* Ranks that are slower than the others: by the steps that they tell of, on their output or by
 * DT_PROGRESS_FD. */
#ifndef DT_LAUNCH_STRAGGLER_H
#define DT_LAUNCH_STRAGGLER_H

#include "events.h"
#include "link/link.h"
#include "session.h"
#include "watch.h"

struct dt_straggler;

/* NULL: no memory. */
struct dt_straggler *dt_straggler_create(int world_size, struct dt_events *events);
void dt_straggler_destroy(struct dt_straggler *straggler);

/* Every node, for each rank of its own, now and then: after every 10 steps its pace goes to the lead.
 * steps NULL: it has told of none. */
void dt_straggler_follow(struct dt_straggler *straggler, struct dt_session *session, int rank,
                         const struct dt_watch *steps);
/* The lead hears a pace, and says who is slow. */
void dt_straggler_hear(struct dt_straggler *straggler, const struct dt_link_message *message,
                       const char *node);

#endif
