/* SPDX-License-Identifier: Apache-2.0 */
/* An agent is the child of a small process that does nothing but wait for it: its keeper. Slurm, a shell or a
 * container knows the keeper's process id. When the agent is killed, its orphans become the keeper's
 * children, which ends them; when the keeper is killed, the agent notices and ends all that it has
 * started. So no single SIGKILL leaves a process behind. Signals to the keeper are the agent's. */
#ifndef DT_LAUNCH_KEEPER_H
#define DT_LAUNCH_KEEPER_H

#include <sys/types.h>

#include "base/error.h"
#include "place.h"

struct dt_shm;

struct dt_keeper {
    pid_t pid;     /* 0: there is none */
    pid_t starter; /* who has started dt-launch: slurmstepd, a shell */
    int alive;     /* at its end when the keeper is gone; -1: there is none */
    struct dt_shm
        *shm; /* what agent and keeper know of segments in /dev/shm; NULL: nothing is removed */
};

/* Before any thread is there. Returns in the agent alone; the keeper ends as the agent does. Without
 * memory for a second process the agent goes on without a keeper. */
void dt_keeper_split(struct dt_keeper *keeper, const struct dt_place *place);

#endif
