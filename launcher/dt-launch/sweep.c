/* SPDX-License-Identifier: Apache-2.0 */
/* Ending what the ranks have left behind. Orphans of the ranks become children of dt-launch, so
 * only own children are ever killed: their process ids can not be anybody else's until they are
 * reaped. */
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "supervise.h"

/* Parent of a process, from /proc/PID/stat: "PID (any text) STATE PPID ..."; 0: not known. */
static pid_t parent_of(const char *pid)
{
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%s/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    const char *after = strrchr(text, ')');
    return after && strlen(after) > 4 ? (pid_t)atoi(after + 4) : 0;
}

static int kill_children(void)
{
    DIR *proc = opendir("/proc");
    int killed = 0;
    if (!proc)
        return 0;
    for (struct dirent *entry; (entry = readdir(proc));) {
        if (!isdigit((unsigned char)entry->d_name[0]) || parent_of(entry->d_name) != getpid())
            continue;
        kill((pid_t)atoi(entry->d_name), SIGKILL);
        killed++;
    }
    closedir(proc);
    return killed;
}

int dt_sweep(void)
{
    double until = dt_now() + 2;
    for (;;) {
        pid_t pid;
        while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
            ;
        if (pid < 0)
            return 0; /* ECHILD: none left */
        int left = kill_children();
        if (dt_now() > until)
            return left ? left : 1;
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
}
