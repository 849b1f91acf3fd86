/* SPDX-License-Identifier: Apache-2.0 */
/* The table of variables inside lib/env; env.h has what others may ask of it. */
#ifndef DT_ENV_VARIABLES_H
#define DT_ENV_VARIABLES_H

#include "env/env.h"

struct dt_env_variables {
    struct dt_env_variable *items, *families, *watched; /* items: by name */
    size_t count, family_count, watched_count;
    char *text; /* of the file; the words point into it */
};

/* The prefix that makes the name somebody's business; NULL: nobody's. */
const struct dt_env_variable *dt_env_variables_watched(const struct dt_env_variables *variables,
                                                       const char *name);

#endif
