/* SPDX-License-Identifier: Apache-2.0 */
/* The clock that steps are measured with. */
#ifndef DT_TRAIN_CLOCK_H
#define DT_TRAIN_CLOCK_H

#include <time.h>

/* Seconds since some moment in the past; never set back. */
static inline double dt_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#endif
