/* SPDX-License-Identifier: Apache-2.0 */
/* --prewarm last: the files that a program has read when it was last started, kept in ~/.cache/dt-launch: what rank 0
 * has mapped, and what its Python has imported (python_hook.h). */
#ifndef DT_LAUNCH_PREWARM_LIST_H
#define DT_LAUNCH_PREWARM_LIST_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/buf.h"
#include "options.h"

/* Is it asked for? */
bool dt_prewarm_last(const struct dt_options *options);
/* The list of this program, a path a line; false: there is none yet. */
bool dt_prewarm_list_read(struct dt_buf *text, const struct dt_options *options);

struct dt_prewarm_list;
/* NULL: not asked for, or no memory. imports: file with what Python has imported, or NULL; it is copied. */
struct dt_prewarm_list *dt_prewarm_list_open(const struct dt_options *options, const char *imports);
/* See what the process has read so far: rarely, and less and less often. */
void dt_prewarm_list_look(struct dt_prewarm_list *list, pid_t pid);
/* Keep it, with what was known before if the program has not lived long; frees the list. */
void dt_prewarm_list_close(struct dt_prewarm_list *list);

#endif
