/* SPDX-License-Identifier: Apache-2.0 */
/* Trees of small files that stand for a machine of some EC2 type, healthy or broken, so that
 * everything which reads /sys and /proc (and asks NVML) can be tried without the machine: by
 * dt-personality for the nodes of the local cluster and for the tests. */
#ifndef DT_PERSONALITY_PERSONALITY_H
#define DT_PERSONALITY_PERSONALITY_H

#include "base/error.h"
#include "instances/instances.h"

/* Fill a new or empty directory with what a machine of this type shows. `node` seeds serial numbers
 * and UUIDs; `nvml` is the fake library to copy in, or NULL. */
int dt_personality_write(const char *out, const struct dt_instance *type, const char *node,
                         const char *nvml, struct dt_error *err);

/* ---- faults ---- */
struct dt_tree;

struct dt_fault {
    const char *name;
    const char *does;
    const char *found_by;               /* checks of dt that should name it: "a or b" */
    int (*plant)(struct dt_tree *tree); /* or, where NULL, one of these: */
    const char *nvml;                   /* line for the fake NVML; %s: address of the last GPU */
    const char *path, *text;            /* file to write, made where it is missing */
    const char *fact; /* member for dt-facts.json, of trees alone: "\"clock.synced\": 0" */
};
extern const struct dt_fault dt_faults[]; /* NULL name ends it */

const struct dt_fault *dt_fault_find(const char *name); /* NULL: none of this name */

/* Break a tree in place. Root may be "/" inside a node's own mounts. */
int dt_fault_plant(const char *root, const struct dt_fault *fault, struct dt_error *err);

#endif
