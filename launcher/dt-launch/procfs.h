/* SPDX-License-Identifier: Apache-2.0 */
/* Small files of /proc/PID. */
#ifndef DT_LAUNCH_PROCFS_H
#define DT_LAUNCH_PROCFS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* /proc/PID/NAME into text, with its NUL; a longer file is cut. false: it can not be read, or is
 * empty. */
bool dt_procfs_read(char *text, size_t size, pid_t pid, const char *name);

/* By one read, for what is looked at each second: stat, io and others that the kernel gives in one piece. */
bool dt_procfs_read_short(char *text, size_t size, pid_t pid, const char *name);

/* The same of any path. */
bool dt_procfs_read_path(char *text, size_t size, const char *path);

/* What a descriptor of the process is: "pipe:[1]", a path. false: not known. */
bool dt_procfs_fd(char *text, size_t size, pid_t pid, unsigned long long fd);
/* Where /proc/PID/NAME leads. */
bool dt_procfs_link(char *text, size_t size, pid_t pid, const char *name);

#endif
