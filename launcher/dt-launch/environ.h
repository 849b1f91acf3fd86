/* SPDX-License-Identifier: Apache-2.0 */
/* The environment of one rank: a copy of dt-launch's own that is then changed. A failed allocation
 * is remembered in `failed` and later calls do nothing. */
#ifndef DT_LAUNCH_ENVIRON_H
#define DT_LAUNCH_ENVIRON_H

#include <stdbool.h>
#include <stddef.h>

struct dt_environ {
    char **items; /* NAME=VALUE, NULL-terminated, owned */
    size_t count, capacity;
    bool failed;
};

void dt_environ_init(struct dt_environ *env, char *const *from);
void dt_environ_fini(struct dt_environ *env);

const char *dt_environ_get(const struct dt_environ *env, const char *name); /* NULL: unset */
void dt_environ_set(struct dt_environ *env, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Only where the variable is unset or empty. */
void dt_environ_default(struct dt_environ *env, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void dt_environ_unset(struct dt_environ *env, const char *name);
void dt_environ_unset_prefix(struct dt_environ *env, const char *prefix);

#endif
