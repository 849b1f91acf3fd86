/* SPDX-License-Identifier: Apache-2.0 */
/* Files that are there whole or not at all: written beside, with a name of their own that ends in
 * ".tmp", and renamed. A device or pipe is written as it is. Functions return 0 or -errno. */
#ifndef DT_BASE_WHOLE_H
#define DT_BASE_WHOLE_H

#include <stdbool.h>
#include <stddef.h>

struct dt_whole {
    char *path; /* links resolved where it exists */
    char *temp; /* NULL: written in place */
    int fd;
};

/* Call dt_whole_close() in any case. */
int dt_whole_open(struct dt_whole *file, const char *path);
int dt_whole_write(const struct dt_whole *file, const char *text, size_t len);
/* keep: put it in its place; else nothing is left behind. */
int dt_whole_close(struct dt_whole *file, bool keep);

/* All three, where the text is there at once. */
int dt_whole_replace(const char *path, const char *text, size_t len);

#endif
