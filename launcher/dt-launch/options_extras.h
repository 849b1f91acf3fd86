/* SPDX-License-Identifier: Apache-2.0 */
/* What the user wants done around the ranks: before them, with their limits, and in front of some. */
#ifndef DT_LAUNCH_OPTIONS_EXTRAS_H
#define DT_LAUNCH_OPTIONS_EXTRAS_H

#include <stdbool.h>
#include <sys/resource.h>

#define DT_PREWARM_MAX 32
#define DT_ULIMIT_MAX  16

struct dt_ulimit {
    const char *text; /* "core=unlimited", as given */
    int resource;     /* RLIMIT_CORE */
    bool hard;        /* as much as the hard limit has */
    rlim_t value;
};

enum dt_profiler { DT_PROFILER_NONE, DT_PROFILER_NSYS, DT_PROFILER_EXEC };

struct dt_profile {
    enum dt_profiler kind;
    const char *ranks;          /* "0,8-15"; NULL: 0 */
    double delay_s, duration_s; /* 0: not given */
    bool cuda_range;
    const char *command; /* of exec */
};

struct dt_extras {
    const char *pre, *pre_once; /* NULL: none */
    const char *prewarm[DT_PREWARM_MAX];
    int prewarm_count;
    struct dt_ulimit ulimits[DT_ULIMIT_MAX];
    int ulimit_count;
    struct dt_profile profile;
    char *profile_text; /* owned: what `profile` points into */
};

#endif
