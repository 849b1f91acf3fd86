/* SPDX-License-Identifier: Apache-2.0 */
/* Slurm's node list notation: "p5-[1-3,007],login" <-> names. Needs no libslurm, so that it also
 * works inside a container. Understands what Slurm prints: several bracket groups in one name, zero
 * padding kept, ranges. Limits: 65,536 names, 1 MiB of text. */
#ifndef DT_BASE_HOSTLIST_H
#define DT_BASE_HOSTLIST_H

#include <stddef.h>

#include "base/error.h"

struct dt_hostlist {
    char **names; /* in the order of the text */
    size_t count;
};

int dt_hostlist_parse(struct dt_hostlist *list, const char *text, struct dt_error *err);
void dt_hostlist_fini(struct dt_hostlist *list);

/* Shortest bracket notation of the names, sorted, duplicates dropped. Caller frees; NULL: no memory. */
char *dt_hostlist_compress(char *const *names, size_t count);

#endif
