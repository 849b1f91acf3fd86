/* SPDX-License-Identifier: Apache-2.0 */
/* Reading small kernel files (procfs, sysfs, /etc) below a root directory.
 *
 * Every fact that dt reads goes through here, so that a generated tree (`--root DIR`) can stand for a
 * machine. Paths are given without a leading slash ("sys/class/infiniband"). Symbolic links are
 * followed as the kernel does, except that with a root other than "/" they can not leave it
 * (openat2 RESOLVE_IN_ROOT).
 */
#ifndef DT_BASE_ROOT_H
#define DT_BASE_ROOT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"

struct dt_root {
    int fd;     /* O_PATH descriptor of the root directory */
    bool fake;  /* not the machine's own "/" */
    char *path; /* as given; "/" for the machine */
};

int dt_root_init(struct dt_root *root, const char *path,
                 struct dt_error *err); /* NULL or "": "/" */
void dt_root_fini(struct dt_root *root);

/* Read a whole small file (at most size-1 bytes), NUL-terminate it and cut trailing white space.
 * Returns the length, or -errno (-ENOENT: no such file; -EFBIG: does not fit). */
ssize_t dt_root_read(const struct dt_root *root, char *buf, size_t size, const char *path_format,
                     ...) __attribute__((format(printf, 4, 5)));

/* Read a decimal or 0x number. Returns 0, or -errno (-EINVAL: not a number). */
int dt_root_read_long(const struct dt_root *root, long long *value, const char *path_format, ...)
    __attribute__((format(printf, 3, 4)));

/* Names in a directory, sorted as ls -v does (so gpu2 comes before gpu10), without "." and "..".
 * Returns the count and a NULL-terminated array to give to dt_names_free, or -errno. */
int dt_root_list(const struct dt_root *root, char ***names, const char *path_format, ...)
    __attribute__((format(printf, 3, 4)));
void dt_names_free(char **names);

/* Target of a symbolic link, unresolved. Returns the length or -errno. */
ssize_t dt_root_readlink(const struct dt_root *root, char *buf, size_t size,
                         const char *path_format, ...) __attribute__((format(printf, 4, 5)));

bool dt_root_exists(const struct dt_root *root, const char *path_format, ...)
    __attribute__((format(printf, 2, 3)));

/* Open below the root; returns a descriptor (O_CLOEXEC) or -errno. */
int dt_root_open(const struct dt_root *root, int flags, const char *path_format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
