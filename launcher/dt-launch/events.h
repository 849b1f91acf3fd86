/* SPDX-License-Identifier: Apache-2.0 */
/* What happens to the job, for programs: a JSON object a line in the file of --events. The lead of the job writes
 * them, or rank 0 where each task is wrapped; elsewhere, and without the option, there is no struct dt_events, and NULL
 * does nothing. dt-launch(1) lists the events with their members. */
#ifndef DT_LAUNCH_EVENTS_H
#define DT_LAUNCH_EVENTS_H

#include "base/error.h"
#include "cause/cause.h"
#include "place.h"

struct dt_events;
struct loop;

/* *events is NULL where there is nothing to write. */
int dt_events_open(struct dt_events **events, const struct dt_options *options,
                   const struct dt_place *place, struct dt_error *err);
/* The job ends with this code. */
void dt_events_close(struct dt_events *events, int code);

/* members, with blanks between them: "rank:d node:s seconds:f well:b" for long long, const char * (NULL:
 * null), double and int. Every event has "event", "time" (seconds since 1970) and, under Slurm, "job" and
 * "step" besides. */
void dt_event(struct dt_events *events, const char *name, const char *members, ...);

/* Whenever there is time: the step that the job is at. */
void dt_events_work(struct dt_events *events, const struct loop *loop);

void dt_event_failure(struct dt_events *events, const struct dt_failure *failure, bool first);

/* A word for the cause of a failure: "node-lost", "oom", "hang", "signal" or "exit". */
const char *dt_event_cause(const struct dt_failure *failure);

#endif
