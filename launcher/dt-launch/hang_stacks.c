/* SPDX-License-Identifier: Apache-2.0 */
/* The signal, and the file with the answer. */
#include "hang_stacks.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "procfs.h"
#include "progress.h"

#define STACKS_MAX (256u << 10) /* bytes of one answer */

/* The default action of the signal would kill it. */
static bool listens(pid_t pid)
{
    char text[4096];
    unsigned long long caught;
    const char *at = dt_procfs_read(text, sizeof text, pid, "status") ? strstr(text, "SigCgt:") : 0;
    return at && sscanf(at + 7, " %llx", &caught) == 1 &&
           (caught & (1ull << (DT_STACKS_SIGNAL - 1))) != 0;
}

bool dt_stacks_ask(const struct dt_python_hook *hook, const struct dt_worker *worker)
{
    char *path = dt_python_hook_stacks(hook, worker->local_rank);
    pid_t pid = path ? dt_progress_acting(worker->pid) : 0;
    bool asked = false;
    if (pid > 0 && truncate(path, 0) == 0 && listens(pid))
        asked = kill(pid, DT_STACKS_SIGNAL) == 0;
    free(path);
    return asked;
}

void dt_stacks_read(const struct dt_python_hook *hook, const struct dt_worker *worker,
                    struct dt_buf *text)
{
    char *path = dt_python_hook_stacks(hook, worker->local_rank), piece[8192];
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    ssize_t n;
    while (fd >= 0 && text->len < STACKS_MAX && (n = read(fd, piece, sizeof piece)) > 0)
        dt_buf_append(text, piece, (size_t)n);
    if (fd >= 0)
        close(fd);
    free(path);
}
