/* SPDX-License-Identifier: Apache-2.0 */
/* CPUs, memory and devices of the ranks that one dt-launch starts: planned by dt-node beside it, within
 * the CPUs and GPUs that dt-launch itself was given, and put on each rank before it runs. */
#ifndef DT_LAUNCH_BINDING_H
#define DT_LAUNCH_BINDING_H

#include "bind_target.h"
#include "environ.h"
#include "options.h"
#include "place.h"

struct dt_binding {
    size_t count; /* ranks; 0: none is bound */
    struct dt_bind_target *targets;
    struct dt_environ *variables; /* per rank: NAME=VALUE to set */
    struct dt_environ *defaults;  /* per rank: to set where it is unset */
};

/* -1: the user's words contradict the step, or no memory. That no plan could be made is said, and the
 * ranks run as they are. */
int dt_binding_find(struct dt_binding *binding, const struct dt_options *options,
                    const struct dt_place *place, struct dt_error *err);
void dt_binding_fini(struct dt_binding *binding);

void dt_binding_apply(struct dt_environ *env, const struct dt_binding *binding, int index);
/* NULL: not bound. */
const struct dt_bind_target *dt_binding_target(const struct dt_binding *binding, int index);

/* bind_gpus.c: the environment that dt-node plans by. */
void dt_binding_environ(struct dt_environ *env);
/* The number of threads that the plugin gave a task as a whole is none of its ranks'. */
void dt_binding_forget_threads(struct dt_environ *env);

#endif
