/* SPDX-License-Identifier: Apache-2.0 */
/* Another attempt after a failure: all ranks of the job again, once all nodes are proven empty. The lead
 * decides and counts for the job (lib/cause/restart.h has the policy); members follow. */
#ifndef DT_LAUNCH_RESTART_H
#define DT_LAUNCH_RESTART_H

#include <stdbool.h>

/* The newest of the files that --restart-progress names. */
struct dt_newest {
    long long changed_ns; /* 0: there is none */
    unsigned long count;
};
void dt_newest_find(struct dt_newest *newest, const char *pattern);

struct dt_restarts {
    int done, in_a_row;
    double began;   /* this attempt (s) */
    bool pending;   /* another one is decided */
    bool start;     /* and begins now */
    double at;      /* not before this */
    double give_up; /* nor after this: a node does not get rid of its processes */
    int code;       /* what the job ends with if it never begins */
    char *before;   /* how the attempt before this one failed; owned */
    long long best_steps;
    struct dt_newest mark; /* when this attempt began */
};

#endif
