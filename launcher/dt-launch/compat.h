/* SPDX-License-Identifier: Apache-2.0 */
/* --compat: what other launchers read or write. accelerate:FILE gives each rank the variables that `accelerate
 * launch` makes of its configuration; deepspeed:FILE writes the hostfile that DeepSpeed's own tools want. */
#ifndef DT_LAUNCH_COMPAT_H
#define DT_LAUNCH_COMPAT_H

#include "accelerate/accelerate.h"
#include "environ.h"
#include "options.h"
#include "place.h"

struct dt_compat {
    struct dt_accelerate accelerate;
};

/* Before the place is found: the file may say how many processes a node has. */
int dt_compat_open(struct dt_compat *compat, struct dt_options *options, struct dt_error *err);
void dt_compat_close(struct dt_compat *compat);

void dt_compat_apply(struct dt_environ *env, const struct dt_compat *compat,
                     const struct dt_options *options);

/* Node 0 writes the hostfile before its ranks start. */
int dt_compat_hostfile(const struct dt_options *options, const struct dt_place *place,
                       struct dt_error *err);

#endif
