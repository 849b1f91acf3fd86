/* SPDX-License-Identifier: Apache-2.0 */
/* After the start: does the kernel agree with what the ranks were told of their binding? */
#ifndef DT_NODE_READBACK_H
#define DT_NODE_READBACK_H

#include <stddef.h>
#include <sys/types.h>

/* Leaves a process behind that waits until the tasks run their programs (10 s at most, or until they
 * end), compares the mask and memory policy of each with DT_BIND_CPUS and DT_BIND_MEMORY in its
 * environment, writes one line to standard error when they differ, and ends. Best effort: where it
 * can not be started nothing is compared. `ranks`: global numbers, for the line. */
void readback_start(const pid_t *pids, const int *ranks, size_t count, const char *node);

#endif
