/* SPDX-License-Identifier: Apache-2.0 */
/* Private to lib/roles: a line as words. */
#ifndef DT_ROLES_WORDS_H
#define DT_ROLES_WORDS_H

#include <stddef.h>

#include "base/error.h"

/* NULL-terminated, owned; *count without the NULL. A sentence in err does not name the line. */
int dt_words_split(char ***words, size_t *count, const char *line, size_t length,
                   const char *(*variable)(const char *name), struct dt_error *err);
void dt_words_free(char **words);

#endif
