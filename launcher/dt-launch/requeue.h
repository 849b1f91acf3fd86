/* SPDX-License-Identifier: Apache-2.0 */
/* What is asked of Slurm's controller, through the helper dt-slurm; where that is not (in a container) it
 * can not be asked. */
#ifndef DT_LAUNCH_REQUEUE_H
#define DT_LAUNCH_REQUEUE_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/error.h"
#include "place.h"

/* Put the job back into the queue, without the nodes (a node list; NULL: with all). Slurm then ends the
 * job, and with it this process. */
int dt_requeue(const struct dt_place *place, const char *exclude, struct dt_error *err);

/* When the job's time is over, seconds since 1970: SLURM_JOB_END_TIME, else as the controller says. */
int dt_job_end_time(const struct dt_place *place, long long *end, struct dt_error *err);

/* Was the job told to make way for another one? No, where the controller can not be asked. */
bool dt_job_preempted(const struct dt_place *place);

enum dt_give_back {
    DT_GIVE_BACK_DONE, /* nothing is left to be done */
    DT_GIVE_BACK_WAIT, /* the controller has nothing against the node, or does not answer */
    DT_GIVE_BACK_NEVER /* there is no dt-slurm to ask */
};
/* The node of the batch script does not answer: where the controller says so, too, the job is ended, or requeued
 * without it. */
enum dt_give_back dt_job_give_back(const struct dt_place *place, bool requeue);

/* Drain the nodes (a node list). */
int dt_slurm_drain(const char *nodes, const char *reason, struct dt_error *err);

/* Those of the nodes that the controller calls down, failing or not responding, in bracket notation; "":
 * none. */
int dt_slurm_down(const char *nodes, struct dt_buf *down, struct dt_error *err);

/* The nodes that a report of the validation says to leave out; "": none. */
int dt_slurm_unfit(const char *report, struct dt_buf *unfit, struct dt_error *err);

#endif
