/* SPDX-License-Identifier: Apache-2.0 */
/* Does a rank get on? Seen from outside: what it says on its output or on the pipe that it is given
 * (DT_PROGRESS_FD), and what it and its descendants read, write and compute. */
#ifndef DT_LAUNCH_PROGRESS_H
#define DT_LAUNCH_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "processes.h"
#include "watch.h"
#include "worker.h"

struct dt_progress {
    struct dt_watch out, err, told; /* standard output and error; DT_PROGRESS_FD */
    bool heard; /* both streams pass through dt-launch, so that what it says is seen */
    /* When it last got on, or at least did something, by CLOCK_MONOTONIC in seconds. Computing and a
     * little reading and writing may be work, and may be how it waits. */
    double moved, stirred;
    double cores; /* used between the last two looks, with its descendants */
    /* of the last look */
    double looked;
    unsigned long long ticks, bytes, written;
};

/* wanted: text of a line to be looked for; borrowed, or NULL. */
void dt_progress_init(struct dt_progress *progress, const char *wanted);

/* Look at all ranks of this node; `progress` has one for each worker. */
void dt_progress_look(struct dt_progress *progress, struct dt_family *family,
                      const struct dt_worker *workers, int count);

/* Where it has told of its steps: by DT_PROGRESS_FD, else on its output; NULL: nowhere yet. */
const struct dt_watch *dt_progress_steps(const struct dt_progress *progress);

/* The process that does the rank's work: itself, or the child that it only waits for. */
pid_t dt_progress_acting(pid_t pid);

#endif
