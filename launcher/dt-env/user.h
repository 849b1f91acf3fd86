/* SPDX-License-Identifier: Apache-2.0 */
/* What the user has: variables with the place where each was set. From this process's environment
 * and NCCL's configuration files, or from a job script. */
#ifndef DT_ENV_USER_H
#define DT_ENV_USER_H

#include "base/error.h"
#include "subject.h"

struct user_setting {
    char *name;
    char *value;  /* NULL: set, but not known */
    char *origin; /* "line 12", "/etc/nccl.conf:3"; "" the environment */
    char *doubt;  /* what it hangs on, or why it is not known; "" nothing */
    bool partial; /* one possibility beside others */
};

struct user {
    struct user_setting *items;
    size_t count;
    char **notes; /* NULL-terminated, or NULL: what was not read and could set more */
    size_t note_count;
};

/* Variables that dt itself has put there (DT_ENV_APPLIED) are not the user's. */
int user_from_environ(struct user *user, char *const *environment, const struct subject *subject,
                      struct dt_error *err);
int user_from_script(struct user *user, const char *path, struct dt_error *err);
void user_fini(struct user *user);

/* The environment that the programs most likely have: "NAME=VALUE", NULL-terminated, freed with
 * dt_names_free. chosen, when not NULL, is used in place of what its name has otherwise. */
char **user_environment(const struct user *user, const struct user_setting *chosen);
/* Which setting of a name that environment has; NULL: none. */
const struct user_setting *user_find(const struct user *user, const char *name);

#endif
