/* SPDX-License-Identifier: Apache-2.0 */
/* Variables that dt's environment rules give, where Slurm's plugin has not been: asked for each
 * rank of this node, as a value may depend on the rank. */
#ifndef DT_LAUNCH_INJECTION_H
#define DT_LAUNCH_INJECTION_H

#include <stdbool.h>
#include <stddef.h>

#include "environ.h"
#include "options.h"

struct dt_injection {
    bool asked;
    char *text; /* items, each with its NUL; owned */
    size_t length;
};

/* speaks: this dt-launch is the one that tells the user of warnings. A node without dt-env goes on
 * without the variables. -1: no memory. */
int dt_injection_find(struct dt_injection *injection, enum dt_env_mode mode, int local_rank,
                      bool speaks);
void dt_injection_fini(struct dt_injection *injection);

/* DT_ENV_APPLIED then names what was set. */
void dt_injection_apply(struct dt_environ *env, const struct dt_injection *injection);

#endif
