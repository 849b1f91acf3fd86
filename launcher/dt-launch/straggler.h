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

/* Every node, now and then: has the rank done 10 steps since its pace was told? Then all of the node tell
 * theirs, so that these are of the same time: what slows all down would otherwise be seen in some first.
 * steps NULL: it has told of none. */
bool dt_straggler_due(struct dt_straggler *straggler, int rank, const struct dt_watch *steps);
/* The rank's pace goes to the lead, if it has done 5 steps. */
void dt_straggler_follow(struct dt_straggler *straggler, struct dt_session *session, int rank,
                         const struct dt_watch *steps);
/* The lead hears a pace, and says who is slow. */
void dt_straggler_hear(struct dt_straggler *straggler, const struct dt_link_message *message,
                       const char *node);

#endif
