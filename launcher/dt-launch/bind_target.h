/* SPDX-License-Identifier: Apache-2.0 */
/* The CPUs and the memory of one rank as the kernel takes them. Everything is made before fork; after
 * it only system calls are left. */
#ifndef DT_LAUNCH_BIND_TARGET_H
#define DT_LAUNCH_BIND_TARGET_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct dt_bits {
    unsigned long *words;
    size_t bytes;
};

/* CPUs that this process may use, as large as the kernel's own sets are. */
int dt_bits_own_cpus(struct dt_bits *bits, struct dt_error *err);
/* "0-7,96-103", within `bytes`. */
int dt_bits_parse(struct dt_bits *bits, const char *list, size_t bytes, struct dt_error *err);
void dt_bits_fini(struct dt_bits *bits);

struct dt_bind_target {
    char *cpu_list, *policy, *node_list; /* as in the plan; policy NULL: memory is left alone */
    struct dt_bits cpus, nodes, first_node;
    struct dt_bits real; /* room for reading the mask back */
    int mode;            /* of set_mempolicy */
};

int dt_bind_target_cpus(struct dt_bind_target *target, const char *list, size_t bytes,
                        struct dt_error *err);
int dt_bind_target_memory(struct dt_bind_target *target, const char *policy, const char *list,
                          struct dt_error *err);
void dt_bind_target_fini(struct dt_bind_target *target);

enum dt_bind_step { DT_BIND_STEP_CPUS = 1, DT_BIND_STEP_MASK, DT_BIND_STEP_MEMORY };

/* In the child, last before exec. 0, or the step that failed with *why. */
int dt_bind_target_apply(const struct dt_bind_target *target, int *why);
/* The sentence for it, in the parent. */
int dt_bind_target_failed(const struct dt_bind_target *target, int step, int why, int rank,
                          struct dt_error *err);

/* Is there a memory policy that somebody chose? told: DT_BIND_MEMORY of the plugin, whose own policy
 * is none; or NULL. */
bool dt_memory_is_chosen(const char *told);

#endif
