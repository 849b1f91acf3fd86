/* SPDX-License-Identifier: Apache-2.0 */
/* What ldconfig knows: the directories of /etc/ld.so.conf and of the files that it includes, and
 * the libraries in /etc/ld.so.cache. */
#ifndef DT_VERSIONS_LDCONF_H
#define DT_VERSIONS_LDCONF_H

#include <stdbool.h>

#include "base/root.h"
#include "versions/list.h"

/* Absolute directories in the order of the files, without duplicates. "include" takes patterns in
 * its last component, as ldconfig's own files use. At most 16 files deep, 1,024 files, 64 KiB each. */
int dt_ldconf_read(struct dt_list *folders, const struct dt_root *root);

/* The 64-bit libraries of the cache as pairs: name, path, name, path ... Returns 1 when there is a
 * cache of glibc 2.2 or later, 0 when not, -1 without memory. */
int dt_ldcache_read(struct dt_list *pairs, const struct dt_root *root);
/* The same from bytes in memory. */
int dt_ldcache_parse(struct dt_list *pairs, const unsigned char *data, size_t size);

#endif
