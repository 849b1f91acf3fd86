/* SPDX-License-Identifier: Apache-2.0 */
/* What /proc shows of a rank from outside, without its help. */
#ifndef DT_LAUNCH_PROBE_H
#define DT_LAUNCH_PROBE_H

#include <stdbool.h>
#include <sys/types.h>

struct dt_probe {
    char state;       /* as /proc/PID/stat has it; '?': not known */
    long long cpu_ms; /* that it has used */
    char where[64];   /* in the kernel, or "" */
    bool connected;   /* it, or a process of its group, has a connection to the port */
    char own
        [160]; /* its ends of such connections, "ADDRESS:PORT ADDRESS:PORT", as the store names them */
};

void dt_probe_rank(struct dt_probe *probe, pid_t pid, int port);

#endif
