/* SPDX-License-Identifier: Apache-2.0 */
/* What else tells why a rank died: the kernel's log, and its core. */
#ifndef DT_LAUNCH_EVIDENCE_H
#define DT_LAUNCH_EVIDENCE_H

#include <stdbool.h>

#include "base/buf.h"
#include "options_extras.h"
#include "worker.h"

#define DT_KERNEL_LINES 4

/* Lines of the kernel's log since it was opened: Xid events, and processes killed for memory. */
struct dt_kernel_log {
    int fd; /* -1: it may not be read */
    int count;
    char lines[DT_KERNEL_LINES][256];
};
void dt_kernel_log_open(struct dt_kernel_log *log);
void dt_kernel_log_close(struct dt_kernel_log *log);
/* ": the kernel says: ..." of what came since. *gpu: an event after which the GPU can not be used until it
 * is reset or replaced. */
void dt_kernel_log_put(struct dt_kernel_log *log, struct dt_buf *text, bool *gpu);

/* For a rank that died of a signal that writes a core: where it is, or why it is not there. limits: those
 * that the ranks had. */
void dt_core_put(struct dt_buf *text, const struct dt_worker *worker,
                 const struct dt_extras *extras);
/* Where the core of process `pid` would lie by the kernel's pattern, as a pattern of files; "": it goes to
 * a program. comm: what the process was called. */
void dt_core_pattern(struct dt_buf *files, const char *pattern, bool uses_pid, int pid, int number,
                     const char *comm);
/* Its backtrace by gdb, where both are there, on standard error. */
void dt_core_backtrace(const struct dt_worker *worker, const char *path);

#endif
