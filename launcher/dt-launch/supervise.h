/* SPDX-License-Identifier: Apache-2.0 */
/* The life of the ranks of this dt-launch: start, pass signals on, notice the first failure, end
 * the others, leave nothing behind. */
#ifndef DT_LAUNCH_SUPERVISE_H
#define DT_LAUNCH_SUPERVISE_H

#include "hang_stacks.h"
#include "keeper.h"
#include "events.h"
#include "metrics.h"
#include "place.h"
#include "session.h"
#include "worker.h"

struct dt_job {
    const struct dt_options *options;
    const struct dt_place *place;
    struct dt_session *session;
    const struct dt_compat *compat;
    const struct dt_role_set *roles; /* NULL: the processes are ranks of one program */
    struct dt_events *events;        /* NULL: nothing is written */
    struct dt_metrics *metrics;      /* as well */
    struct dt_keeper keeper;
    const char *path;               /* of the program; NULL: there is a refusal */
    const struct dt_error *refusal; /* why this node can not start its ranks; NULL: it can */
    int refusal_code;
    struct dt_error late; /* a refusal that was found once the session was there */
    const struct dt_python_hook *hook;
    struct dt_worker *workers; /* place->processes of them, with env, rank and local_rank filled */
};

/* Returns the exit code of the job on this node. Has said what there is to say. */
int dt_supervise(struct dt_job *job);

#endif
