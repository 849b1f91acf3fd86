/* SPDX-License-Identifier: Apache-2.0 */
/* An agent's line to the driver that has started its step (driver.h). The lead holds it while the job runs, and
 * ends the job when it breaks: the driver was killed. A member uses it only when its lead is gone. */
#ifndef DT_LAUNCH_SUPERIOR_H
#define DT_LAUNCH_SUPERIOR_H

#include <stdbool.h>

#include "base/error.h"
#include "cause/restart.h"
#include "place.h"

/* Was this step started by a driver? *restarts: those that the job has had before it. The value is
 * SLURM_LAUNCH_DRIVER, which must be of this job. */
bool dt_superior_present(const struct dt_place *place, int *restarts);

struct dt_superior;
/* NULL: it can not be reached. */
struct dt_superior *dt_superior_open(const struct dt_place *place, struct dt_error *err);
/* From now on input comes when its node has not answered for so long (s), too. */
void dt_superior_patience(struct dt_superior *superior, double seconds);
int dt_superior_fd(const struct dt_superior *superior);
/* After input: is it gone? *silent: because its node does not answer. */
bool dt_superior_gone(struct dt_superior *superior, bool *silent);

/* Nothing of ours runs any more, and the driver does not answer. Return when it or its node does, when the job was
 * given back to Slurm, or when `signals` has a signal that ends us: until then this node is all that is left to see to
 * that; for a quarter of an hour. */
void dt_superior_lost(const struct dt_place *place, bool requeue, int signals);

struct dt_superior_report {
    enum dt_follow follow;
    int code, restarts;
    const char *node, *sentence;
};
void dt_superior_tell(struct dt_superior *superior, const struct dt_superior_report *report);
void dt_superior_close(struct dt_superior *superior); /* NULL is allowed */

#endif
