/* SPDX-License-Identifier: Apache-2.0 */
/* The processes of this machine, and whose descendants they are. */
#ifndef DT_LAUNCH_PROCESSES_H
#define DT_LAUNCH_PROCESSES_H

#include <stddef.h>

#include "worker.h"

struct dt_process {
    int pid, parent;
    char state;               /* as /proc/PID/stat has it */
    unsigned long long ticks; /* of user and kernel time, in units of sysconf(_SC_CLK_TCK) */
};

/* Those of /proc, by number; the caller frees them. NULL: none could be read. */
struct dt_process *dt_processes_list(size_t *count);
/* Our descendants alone. A walk over all of /proc each second would cost more than all else that dt-launch does: processes
 * that were seen not to be ours are not looked at again, until now and then all are, as numbers are used again. */
struct dt_family {
    int *strangers; /* by number */
    size_t stranger_count;
    int walks;
};
struct dt_process *dt_family_list(struct dt_family *family, size_t *count); /* as above */
void dt_family_fini(struct dt_family *family);

/* Index of the worker that the process is, or descends from; -1: none. */
int dt_processes_owner(const struct dt_process *list, size_t count,
                       const struct dt_process *process, const struct dt_worker *workers,
                       int worker_count);
/* Does it descend from us? */
bool dt_processes_descends(const struct dt_process *list, size_t count,
                           const struct dt_process *process);

#endif
