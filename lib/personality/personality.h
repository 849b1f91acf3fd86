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

/* Add what a site puts there, and a node of the local cluster can not show: settled.c. */
int dt_personality_settle(const char *root, const struct dt_instance *type, struct dt_error *err);

/* Remove such a directory and all in it; links are not followed. */
int dt_personality_remove(const char *path, struct dt_error *err);

/* ---- faults ---- */
struct dt_tree;

/* One row a fault. dt-validate --selftest plants every one of them and holds the checks to what
 * stands here; a check that no fault is found by fails it. */
struct dt_fault {
    const char *name;
    const char *does;
    /* Checks that have to name it, "gpu-count or neuron-count" where it depends on the machine. A
     * comparison between nodes counts as the check whose name it has. */
    const char *found_by;

    /* How it is planted: by a function, or, where that is NULL, by any of the lines below it. */
    int (*plant)(struct dt_tree *tree);
    const char *nvml;        /* line for the fake NVML; %s: address of the last GPU */
    const char *path, *text; /* file to write, made where it is missing */
    const char *fact;        /* member for dt-facts.json, of trees alone: "\"clock.synced\": 0" */
    const char *variable;    /* "NAME=VALUE" of the job's environment: no tree can show it, so that
                              * only the selftest plants it */

    /* For the selftest. */
    const char *types; /* EC2 types that it is tried on; NULL: DT_FAULT_TYPE */
    const char *also; /* checks that rightly speak beside it, and what: "mtu=UNKNOWN"; NULL: none */
    const char *result; /* what the checks have to say; NULL: "FAIL" */
    /* what the comparison of that name has to say; NULL: it may be silent, or say the result */
    const char *compared;
    const char *conf; /* lines of dt.conf that it needs; NULL: none */
};
#define DT_FAULT_TYPE "p4d.24xlarge"

extern const struct dt_fault dt_faults[]; /* NULL name ends it */

const struct dt_fault *dt_fault_find(const char *name); /* NULL: none of this name */

/* Break a tree in place. Root may be "/" inside a node's own mounts. */
int dt_fault_plant(const char *root, const struct dt_fault *fault, struct dt_error *err);

#endif
