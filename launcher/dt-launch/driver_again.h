/* SPDX-License-Identifier: Apache-2.0 */
/* With --per-task srun starts the ranks, and no agent decides about restarts: so the driver does, by srun's exit code and
 * by the policy that agents have (lib/cause/restart.h). */
#ifndef DT_LAUNCH_DRIVER_AGAIN_H
#define DT_LAUNCH_DRIVER_AGAIN_H

#include "options.h"
#include "restart.h"

struct dt_again {
    double began;          /* the attempt (s) */
    struct dt_newest mark; /* then */
    char *before;          /* how the attempt before failed; owned */
    int in_a_row;
};

void dt_again_begin(struct dt_again *again, const struct dt_options *options);
void dt_again_fini(struct dt_again *again);

/* srun has ended with `code`, and no node is bad. Shall there be another attempt? `done`: restarts so far. Says why not.
 * *delay: seconds to wait before it. */
bool dt_again_wanted(struct dt_again *again, const struct dt_options *options, int code, int done,
                     double *delay);

#endif
