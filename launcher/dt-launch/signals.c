/* SPDX-License-Identifier: Apache-2.0 */
/* Signals from outside: which are passed on, and to whom. */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loop.h"

static const int forwarded[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGCONT};
#define FORWARDED (sizeof forwarded / sizeof *forwarded)

void dt_signal_set(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGCHLD);
    for (size_t i = 0; i < FORWARDED; i++)
        sigaddset(set, forwarded[i]);
}

bool dt_is_stop(int number)
{
    return number == SIGTERM || number == SIGINT || number == SIGHUP || number == SIGQUIT;
}

/* SignalChildrenProcesses of cgroup.conf. In a container the file is mostly not to be seen: then it is taken for unset. */
static bool children_are_signalled(void)
{
    const char *conf = getenv("SLURM_CONF");
    const char *slash = conf ? strrchr(conf, '/') : NULL;
    char own[PATH_MAX] = "", line[256], word[8];
    const char *const files[] = {own, "/etc/slurm/cgroup.conf", "/run/slurm/conf/cgroup.conf"};
    if (slash)
        snprintf(own, sizeof own, "%.*s/cgroup.conf", (int)(slash - conf), conf);
    bool yes = false;
    FILE *file = NULL;
    for (size_t i = 0; !file && i < sizeof files / sizeof *files; i++)
        file = *files[i] ? fopen(files[i], "re") : NULL;
    while (file && fgets(line, sizeof line, file)) {
        if (strncasecmp(line + strspn(line, " \t"), "SignalChildrenProcesses", 23) == 0 &&
            sscanf(line, " %*[^= \t] = %7[a-zA-Z]", word) == 1)
            yes = strcasecmp(word, "yes") == 0;
    }
    if (file)
        fclose(file);
    return yes;
}

/* proctrack/cgroup gives signals to the task alone, that is, to dt-launch, unless it is told otherwise;
 * proctrack/linuxproc gives them to every process. A step's cgroup shows which it is. */
static bool inside_slurm_cgroup(void)
{
    char *line = NULL;
    size_t size = 0;
    bool found = false;
    FILE *file = fopen("/proc/self/cgroup", "re");
    while (file && !found && getline(&line, &size, file) >= 0)
        found = strstr(line, "slurm") && strstr(line, "/step_");
    free(line);
    if (file)
        fclose(file);
    return found;
}

bool dt_loop_slurm_signals_all(const struct dt_place *place)
{
    return place->in_step && (!inside_slurm_cgroup() || children_are_signalled());
}

void dt_loop_on_signal(struct loop *loop, const struct signalfd_siginfo *info)
{
    int number = (int)info->ssi_signo;
    bool grouped = loop->job->place->processes == 1;
    bool by_slurm = loop->slurm_signals_all && (pid_t)info->ssi_pid == loop->starter;
    if (dt_checkpoint_warned(loop, number, by_slurm))
        return;
    if (dt_is_stop(number)) {
        loop->stopping = true;
        loop->muted = loop->muted || !loop->decided;
    }
    /* Typed at a terminal: the kernel has given it to our whole process group. */
    if (info->ssi_code == SI_KERNEL && grouped)
        return;
    if (by_slurm)
        return;
    dt_loop_kill(loop, number);
}

int dt_loop_open_signals(struct loop *loop, struct dt_error *err)
{
    sigset_t set;
    dt_signal_set(&set);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_DFL); /* an inherited SIG_IGN would hide how the ranks end */
    sigprocmask(SIG_BLOCK, &set, &loop->old_mask);
    loop->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (loop->signals < 0)
        return dt_error_set(err, "signalfd: %s", strerror(errno));
    return 0;
}
