/* SPDX-License-Identifier: Apache-2.0 */
/* The keeper: pass signals on, wait, end the orphans of an agent that was killed. */
#include "keeper.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "loop.h"
#include "shm.h"
#include "teardown.h"
#include "worker.h"

#define ORPHANS_GRACE_S 0.5

/* Has the agent got this signal as well? Then it must not come twice. */
static bool agent_has_it(const siginfo_t *info, const struct dt_keeper *keeper,
                         bool slurm_signals_all)
{
    return info->si_code == SI_KERNEL /* typed at a terminal, for the whole process group */ ||
           (slurm_signals_all && info->si_pid == keeper->starter);
}

/* As the agent ended, so that whoever waits for us learns of a signal too. */
static void __attribute__((noreturn)) end_alike(int status)
{
    if (WIFSIGNALED(status)) {
        sigset_t own;
        setrlimit(RLIMIT_CORE, &(struct rlimit){0}); /* the agent has left one, if any */
        signal(WTERMSIG(status), SIG_DFL);
        sigemptyset(&own);
        sigaddset(&own, WTERMSIG(status));
        sigprocmask(SIG_UNBLOCK, &own, NULL);
        raise(WTERMSIG(status));
    }
    _exit(dt_status_code(status));
}

static void __attribute__((noreturn))
keep(const struct dt_keeper *keeper, pid_t agent, const sigset_t *set, const char *node, bool all)
{
    struct dt_buf left = DT_BUF_INIT;
    siginfo_t info;
    int status;
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    while (waitpid(agent, &status, WNOHANG) != agent) {
        if (sigwaitinfo(set, &info) > 0 && info.si_signo != SIGCHLD &&
            !agent_has_it(&info, keeper, all))
            kill(agent, info.si_signo);
    }
    int count = WIFSIGNALED(status) ? dt_teardown(ORPHANS_GRACE_S, &left) : 0;
    if (WIFSIGNALED(status))
        dt_shm_clean(keeper->shm, node);
    if (count)
        dprintf(STDERR_FILENO, "dt-launch: %d process(es) on %s could not be ended: %s\n", count,
                node, left.data ? left.data : "");
    end_alike(status);
}

void dt_keeper_split(struct dt_keeper *keeper, const struct dt_place *place)
{
    sigset_t set, old;
    int ends[2];
    *keeper = (struct dt_keeper){.starter = getppid(), .alive = -1, .shm = dt_shm_create()};
    if (pipe2(ends, O_CLOEXEC))
        return;
    dt_signal_set(&set);
    sigprocmask(SIG_BLOCK, &set, &old);
    signal(SIGCHLD, SIG_DFL); /* an inherited SIG_IGN would hide how the agent ends */
    pid_t own = getpid(), agent = fork();
    if (agent > 0)
        keep(keeper, agent, &set, place->node_name, dt_loop_slurm_signals_all(place));
    sigprocmask(SIG_SETMASK, &old, NULL);
    close(ends[1]);
    if (agent == 0) {
        keeper->pid = own;
        keeper->alive = ends[0];
    } else {
        close(ends[0]);
    }
}
