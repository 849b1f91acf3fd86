/* SPDX-License-Identifier: Apache-2.0 */
/* Leaving a process behind. */
#include "behind.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

/* The ranks are starting: they come first. */
#define BEHIND_NICE 10

bool behind_fork(bool keep_stderr)
{
    int ends[2];
    char byte;
    if (pipe2(ends, O_CLOEXEC))
        return false;
    if (fork() == 0) {
        setsid();
        (void)setpriority(PRIO_PROCESS, 0, BEHIND_NICE);
        signal(SIGPIPE, SIG_IGN);
        close_range(0, STDERR_FILENO - 1, 0);
        if (!keep_stderr)
            close(STDERR_FILENO);
        /* The pipe too, which tells dt-node that all this is done. */
        close_range(STDERR_FILENO + 1, ~0u, 0);
        return true;
    }
    close(ends[1]);
    while (read(ends[0], &byte, 1) < 0 && errno == EINTR)
        ;
    close(ends[0]);
    return false;
}
