/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the plan text: which lines are for this rank, in order, and whether the plan is whole.
 * What is done with a line is the caller's. */
#ifndef DT_SPANK_APPLY_H
#define DT_SPANK_APPLY_H

#include <stdbool.h>
#include <stddef.h>

#include <slurm/spank.h>

#include "look.h"
#include "options.h"
#include "text.h"

enum plan_verb {
    PLAN_SET,
    PLAN_DEFAULT,
    PLAN_UNSET,
    PLAN_CPUS,
    PLAN_MEMORY,
    PLAN_SAY,
    PLAN_ENV_SET, /* as the first three, and what was done is noted in DT_ENV_APPLIED */
    PLAN_ENV_DEFAULT,
    PLAN_ENV_UNSET,
    PLAN_FOUND,    /* the mask that the plan was made for */
    PLAN_BIND_SET, /* as the first two, where the rank was really bound */
    PLAN_BIND_DEFAULT,
    PLAN_LOOK /* at what the rank has, before its program starts */
};

/* What has become of the binding so far. */
struct bound {
    bool stood_back;  /* the mask is no more the one that the plan was made for */
    bool memory_kept; /* there was a memory policy already */
};

struct plan_line {
    enum plan_verb verb;
    const char *name, *value; /* decoded; NULL: not there */
};

struct apply {
    spank_t spank;
    unsigned long local; /* local rank */
    char rank_name[16];  /* global rank, for sentences */
    int refused;         /* the code, after PLAN_REFUSED */
    struct text *noted;  /* names for DT_ENV_APPLIED so far */
    struct bound *bound;
    struct look *look;
};

#define PLAN_REFUSED 1 /* "dt-refused CODE": slurmstepd gave up after the tasks were forked */

/* Nothing is done unless the whole text is a plan that ends with its "end" line. -1: why says what
 * is wrong with it. */
int plan_apply(struct apply *apply, const char *text, size_t len,
               void (*take)(const struct apply *apply, const struct plan_line *line),
               struct sentence *why);

#endif
