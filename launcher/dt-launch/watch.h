/* SPDX-License-Identifier: Apache-2.0 */
/* What is to be learnt from a stream of output as it goes by: when something was said, which step a
 * line tells of, and whether the agreed line was there. Fed by the output's thread, read by any. */
#ifndef DT_LAUNCH_WATCH_H
#define DT_LAUNCH_WATCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#define DT_WATCH_LINE 512 /* bytes of a line that are looked at */

struct dt_watch {
    const char *wanted;   /* text that a line is to hold (borrowed); NULL: none */
    atomic_llong said_ns; /* when something last came; 0: never */
    atomic_llong step;    /* the highest that a line told of; -1: none */
    atomic_llong step_ns; /* when */
    atomic_llong
        work_us; /* of its own that a step takes, as told by "step N SECONDS"; 0: not told */
    atomic_llong found_ns; /* when a line last held `wanted`; 0: never */
    char line[DT_WATCH_LINE];
    size_t used;
};

void dt_watch_init(struct dt_watch *watch, const char *wanted);
void dt_watch_add(struct dt_watch *watch, const char *bytes, size_t len, long long now_ns);

#endif
