/* SPDX-License-Identifier: Apache-2.0 */
/* The event loop: signals, ends of ranks, the session, and deadlines. What an attempt begins and ends with is in supervise.c. */
#include <signal.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/exitcode.h"
#include "loop.h"
#include "metrics.h"
#include "prewarm_list.h"
#include "shm.h"
#include "status_line.h"
#include "streams.h"

#define EVENTS  256
#define TICK_MS 1000 /* the session looks for peers that have fallen silent */

void dt_loop_kill(struct loop *loop, int number)
{
    for (int i = 0; i < loop->job->place->processes; i++) {
        if (loop->job->workers[i].running)
            kill(loop->job->workers[i].pid, number);
    }
}

void dt_loop_terminate(struct loop *loop)
{
    loop->termed = true;
    loop->termed_ns = dt_now_ns();
    dt_shm_look(loop->job->keeper.shm, true);
    dt_loop_kill(loop, SIGTERM);
    dt_loop_kill(loop, SIGCONT); /* a stopped rank could not act on it */
    loop->deadline = dt_now() + loop->job->options->kill_grace_s;
}

/* ---- ends of ranks ------------------------------------------------------------------------- */

static struct dt_worker *worker_of(struct loop *loop, pid_t pid)
{
    for (int i = 0; i < loop->job->place->processes; i++) {
        if (loop->job->workers[i].running && loop->job->workers[i].pid == pid)
            return &loop->job->workers[i];
    }
    return NULL;
}

static void on_end(struct loop *loop, struct dt_worker *worker, long long now_ns)
{
    int status;
    if (!worker->running || waitpid(worker->pid, &status, WNOHANG) != worker->pid)
        return;
    worker->running = false;
    worker->status = status;
    worker->lived = (double)now_ns / 1e9 - worker->started;
    loop->running--;
    if (worker->pidfd >= 0)
        close(worker->pidfd);
    worker->pidfd = -1;
    if (dt_status_code(status) != 0)
        dt_loop_on_failure(loop, worker, now_ns);
    else if (worker->ends_job)
        dt_loop_finish(loop);
}

/* Orphans of the ranks, whose subreaper dt-launch is, and ranks where the kernel has no pidfd. A rank
 * that has one is left to its own event: those come in the order in which the ranks died. */
static void reap(struct loop *loop)
{
    for (;;) {
        siginfo_t info = {0};
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) || info.si_pid == 0)
            return;
        struct dt_worker *worker = worker_of(loop, info.si_pid);
        if (worker && worker->pidfd >= 0)
            return;
        if (worker)
            on_end(loop, worker, dt_now_ns());
        else
            waitpid(info.si_pid, NULL, WNOHANG);
    }
}

/* ---- time ---------------------------------------------------------------------------------- */

static void on_time(struct loop *loop)
{
    if (loop->ending && loop->deadline <= 0 && !loop->termed)
        loop->deadline = dt_now();
    if (loop->deadline <= 0 || dt_now() < loop->deadline)
        return;
    if (!loop->termed) {
        dt_loop_terminate(loop);

    } else {
        dt_loop_kill(loop, SIGKILL);
        loop->deadline = 0;
    }
}

static double sooner(double a, double b)
{
    return a <= 0 ? b : b <= 0 || a < b ? a : b;
}

static int wait_ms(const struct loop *loop)
{
    double next = sooner(dt_loop_next_decision(loop), loop->deadline);
    next = sooner(next, dt_hang_next(loop->hang));
    next = sooner(next, dt_status_next(loop));
    next = sooner(next, dt_checkpoint_next(loop));
    if (next <= 0)
        return TICK_MS;
    double ms = (next - dt_now()) * 1000;
    return ms <= 0 ? 0 : ms >= TICK_MS ? TICK_MS : (int)ms + 1;
}

/* ---- events -------------------------------------------------------------------------------- */

static void take_signals(struct loop *loop)
{
    struct signalfd_siginfo info;
    bool child = false;
    while (read(loop->signals, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGCHLD)
            child = true;
        else
            dt_loop_on_signal(loop, &info);
    }
    if (child)
        reap(loop);
}

/* It was killed, and we with it but for being another process: at once, as whoever killed it may go on. */
static void on_keeper_lost(struct loop *loop)
{
    dt_close_once(&loop->job->keeper.alive);
    loop->keeper_lost = loop->stopping = loop->muted = true;
    dt_loop_kill(loop, SIGKILL);
    loop->decided = loop->ending = true;
    loop->code = DT_EXIT_SIGNAL + SIGKILL;
}

/* The driver never speaks: either it is gone, or a stranger has found the port. */
static void on_superior(struct loop *loop)
{
    struct dt_error err = {""};
    bool silent;
    if (!dt_superior_gone(loop->superior, &silent))
        return;
    dt_superior_close(loop->superior);
    loop->superior = NULL;
    loop->superior_lost = silent;
    dt_error_set(&err, "%s: the job is ended",
                 silent ? "the node of the dt-launch that has started this step does not answer"
                        : "the dt-launch that has started this step is gone");
    dt_loop_refuse(loop, DT_EXIT_HELPER, &err);
}

/* The kernel lists events in the order in which they happened. So the ends of ranks are taken in that
 * order, however late we are, with times that keep it; and before signals, which may be their echo. */
static void take_events(struct loop *loop, const struct epoll_event *events, int count)
{
    long long now_ns = dt_now_ns();
    bool ended = false, signals = false;
    for (int i = 0; i < count; i++) {
        void *what = events[i].data.ptr;
        if (what == &loop->signals)
            signals = true;
        else if (what == &loop->keeper_lost)
            on_keeper_lost(loop);
        else if (what == &loop->superior)
            on_superior(loop);
        if (what == &loop->signals || what == &loop->keeper_lost || what == &loop->superior ||
            what == &loop->relay || what == loop->job->session)
            continue;
        on_end(loop, what, now_ns + i);
        ended = true;
    }
    if (signals)
        take_signals(loop);
    if (ended)
        reap(loop);
    dt_streams_relay(loop);
    dt_loop_hear(loop);
    if (!loop->ending)
        dt_arrival_work(&loop->arrival, loop->job->session, loop->job->workers,
                        loop->job->place->processes);
    dt_hang_work(loop->hang);
    dt_status_work(loop);
    dt_checkpoint_work(loop);
    dt_shm_look(loop->job->keeper.shm, false);
    dt_events_work(loop->job->events, loop);
    dt_metrics_work(loop->job->metrics, loop);
    if (loop->files_read && loop->job->workers[0].running)
        dt_prewarm_list_look(loop->files_read, loop->job->workers[0].pid);
}

void dt_loop_watch(struct loop *loop)
{
    struct epoll_event events[EVENTS];
    while (!dt_loop_settled(loop)) {
        on_time(loop);
        int count = epoll_wait(loop->poll, events, EVENTS, wait_ms(loop));
        take_events(loop, events, count > 0 ? count : 0);
    }
}
