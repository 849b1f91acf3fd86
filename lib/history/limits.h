/* SPDX-License-Identifier: Apache-2.0 */
/* counters.conf: how much a counter may grow while a job runs, or between jobs. */
#ifndef DT_HISTORY_LIMITS_H
#define DT_HISTORY_LIMITS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct dt_growth_limit {
    char *counter;    /* "efa.rx_drops" */
    long long amount; /* more than this is too much */
    long long unit_s; /* in so many seconds; 0: at all */
    bool fails;       /* FAIL, not WARN */
};

struct dt_growth_limits {
    struct dt_growth_limit *items;
    size_t count;
};

/* An error is "FILE:LINE: what is wrong". _parse: the text is changed. */
int dt_growth_limits_load(struct dt_growth_limits *limits, const char *path, struct dt_error *err);
int dt_growth_limits_parse(struct dt_growth_limits *limits, const char *name, char *text,
                           struct dt_error *err);
void dt_growth_limits_fini(struct dt_growth_limits *limits);

/* NULL: none. */
const struct dt_growth_limit *dt_growth_limit_find(const struct dt_growth_limits *limits,
                                                   const char *counter);
const char *dt_growth_unit_name(const struct dt_growth_limit *limit); /* "per-second" */

/* A time shorter than the limit's unit counts as one unit. */
bool dt_growth_is_over(const struct dt_growth_limit *limit, long long by, long long seconds);

#endif
