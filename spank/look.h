/* SPDX-License-Identifier: Apache-2.0 */
/* What a rank really has, seen from where its program will run: as the user, in the step's cgroup, in
 * the container when pyxis stands before dt in plugstack.conf. dt-node says what to look at; nothing
 * here decides what is wanted. */
#ifndef DT_SPANK_LOOK_H
#define DT_SPANK_LOOK_H

#include <stdbool.h>

#include "text.h"

struct look {
    struct text wrong, doubtful;  /* what was found, "; " between two */
    unsigned long long given_mib; /* memory that Slurm gave the step here; 0: it does not tell */
    unsigned long long step_cpus; /* CPUs that Slurm gave the step here; 0: it does not tell */
    unsigned long long rank_cpus; /* and each rank of it */
    bool few_cpus;                /* told of */
    bool warn;                    /* a failure is told, and the rank runs all the same */
};

/* One "look KIND ARGUMENT" of the plan. library_path: LD_LIBRARY_PATH of the rank, or NULL. A kind
 * that is not known here is stepped over: an older plugin lives with a newer dt-node. */
void look_take(struct look *look, const char *kind, const char *argument, const char *library_path);
void look_fini(struct look *look);

#endif
