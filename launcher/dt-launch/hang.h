/* SPDX-License-Identifier: Apache-2.0 */
/* Finding that nothing moves in the whole job, saying which rank is the odd one out, and acting on it.
 * Every node watches its own ranks (progress.h); the members tell the lead since when theirs are quiet,
 * and the lead, when all are for --hang-timeout, asks what each rank does (hang_look.h), compares
 * (lib/hang) and tells it. Also found: a rank that has printed a traceback and can not die. */
#ifndef DT_LAUNCH_HANG_H
#define DT_LAUNCH_HANG_H

#include <stdbool.h>

#include "base/error.h"
#include "hang_stacks.h"
#include "link/link.h"
#include "progress.h"

struct loop;
struct dt_hang;

/* Before the ranks start, at every attempt. NULL: no memory. */
struct dt_hang *dt_hang_create(struct loop *loop);
void dt_hang_destroy(struct dt_hang *hang);
/* Of this dt-launch's worker number `index`. */
struct dt_progress *dt_hang_progress(struct dt_hang *hang, int index);

/* Whenever there is time; and when next, in seconds of CLOCK_MONOTONIC (0: never). */
void dt_hang_work(struct dt_hang *hang);
double dt_hang_next(const struct dt_hang *hang);

/* The lead hears pulse, pace, seen, told; a member is told look, give-up. */
void dt_hang_hear(struct dt_hang *hang, const struct dt_link_message *message, const char *node);
void dt_hang_told(struct dt_hang *hang, const struct dt_link_message *message);

#endif
