/* SPDX-License-Identifier: Apache-2.0 */
/* The driver: dt-launch in a batch script or a shell of salloc. It starts the job's steps by srun, on good
 * nodes of the allocation, with an agent on each, and starts another one without the node that has
 * failed. Agents tell it, over TCP, what the cause was; all else it learns from srun's exit code and the
 * report of the validation. The allocation is kept as long as enough good nodes are left. */
#ifndef DT_LAUNCH_DRIVER_H
#define DT_LAUNCH_DRIVER_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/error.h"
#include "cause/restart.h"
#include "options.h"
#include "spares.h"

/* Is this process to be one? In a step it is not: an agent of a driver, or an error. */
int dt_driver_wanted(const struct dt_options *options, bool *wanted, struct dt_error *err);

/* Returns the exit code of the job. Has said what there is to say. argv: dt-launch's own. */
int dt_driver_run(const struct dt_options *options, char **argv);

/* ---- what an agent has told (driver_link.c) --------------------------------------------------- */

struct dt_told {
    bool heard;
    bool left; /* and who has told it is gone: no agent is left but on a node that is dead */
    enum dt_follow follow; /* STOP or REPLACE */
    int code, restarts;    /* restarts: within this step, and before */
    char *node;            /* owned: where it happened */
    char *sentence;        /* owned */
};

struct dt_listener;
struct dt_listener *dt_listener_open(long long job, struct dt_error *err);
void dt_listener_close(struct dt_listener *listener);
int dt_listener_fd(const struct dt_listener *listener);
/* What agents need to find and to convince it: the value of SLURM_LAUNCH_DRIVER. Caller frees. */
char *dt_listener_text(const struct dt_listener *listener, int restarts);
void dt_listener_work(struct dt_listener *listener, struct dt_told *told);
void dt_told_fini(struct dt_told *told);

/* ---- one step (driver_step.c) ----------------------------------------------------------------- */

struct dt_step {
    const struct dt_options *options;
    char *const *nodes;
    int node_count;
    const char *driver; /* SLURM_LAUNCH_DRIVER; NULL: the step only validates, and runs nothing */
    const char *report; /* DT_REPORT; NULL: leave it */
    bool hyperpod;
    char **argv; /* of dt-launch */
};
/* Returns srun's process id, or -1. */
int dt_step_start(const struct dt_step *step, struct dt_error *err);

#endif
