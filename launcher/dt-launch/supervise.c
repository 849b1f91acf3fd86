/* SPDX-License-Identifier: Apache-2.0 */
/* Attempts: what must be there before the ranks, starting them, and what is left to do when they have ended. */
#include "supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/exitcode.h"
#include "prewarm_list.h"
#include "shm.h"
#include "status_line.h"
#include "streams.h"
#include "teardown.h"

/* What the ranks have left behind gets so long (s) from SIGTERM to SIGKILL, or --kill-grace if that is less. */
#define REST_GRACE_S 1.0

/* ---- start --------------------------------------------------------------------------------- */

static int listen_to(struct loop *loop, int fd, void *what, struct dt_error *err)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = what};
    return epoll_ctl(loop->poll, EPOLL_CTL_ADD, fd, &event)
               ? dt_error_set(err, "epoll: %s", strerror(errno))
               : 0;
}

static int open_events(struct loop *loop, struct dt_error *err)
{
    if (dt_loop_open_signals(loop, err))
        return -1;
    loop->poll = epoll_create1(EPOLL_CLOEXEC);
    if (loop->poll < 0)
        return dt_error_set(err, "epoll: %s", strerror(errno));
    if (listen_to(loop, loop->signals, &loop->signals, err) ||
        listen_to(loop, dt_session_fd(loop->job->session), loop->job->session, err))
        return -1;
    if (loop->relay && listen_to(loop, dt_relay_fd(loop->relay), &loop->relay, err))
        return -1;
    int alive = loop->job->keeper.alive;
    return alive < 0 ? 0 : listen_to(loop, alive, &loop->keeper_lost, err);
}

/* Standard input can have one reader only; a terminal's would stop a rank in its own group. */
static void choose_input(struct loop *loop)
{
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int first = isatty(STDIN_FILENO) ? 0 : 1;
    for (int i = first; loop->job->place->processes > 1 && i < loop->job->place->processes; i++)
        loop->job->workers[i].in = null;
}

static int start_all(struct loop *loop, int *code, struct dt_error *err)
{
    struct dt_job *job = loop->job;
    struct dt_worker_start start = {.path = job->path,
                                    .argv = job->options->program,
                                    .own_group = job->place->processes > 1,
                                    .mask = loop->old_mask,
                                    .files = loop->old_files,
                                    .limits = job->options->extras.ulimits,
                                    .limit_count = job->options->extras.ulimit_count};
    for (int i = 0; i < job->place->processes; i++) {
        if (dt_worker_start(&job->workers[i], &start, code, err))
            return -1;
        loop->running++;
        if (job->workers[i].pidfd >= 0)
            (void)listen_to(loop, job->workers[i].pidfd, &job->workers[i], err);
    }
    for (int i = 0; i < job->place->processes; i++) {
        dt_close_once(&job->workers[i].out);
        dt_close_once(&job->workers[i].err);
        dt_close_once(&job->workers[i].progress);
    }
    *code = DT_EXIT_HELPER;
    return dt_output_start(loop->output, err);
}

/* The store has a descriptor for each rank of the job; the ranks get the limit that we were given. */
static void raise_file_limit(struct loop *loop)
{
    getrlimit(RLIMIT_NOFILE, &loop->old_files);
    struct rlimit most = {loop->old_files.rlim_max, loop->old_files.rlim_max};
    if (dt_session_server(loop->job->session))
        setrlimit(RLIMIT_NOFILE, &most);
}

/* What is left of the ranks ends before anybody is told that they have ended. */
void dt_loop_empty(struct loop *loop)
{
    struct dt_buf left = DT_BUF_INIT;
    double grace = loop->job->options->kill_grace_s;
    if (loop->left >= 0)
        return;
    loop->left = 0;
    if (loop->job->place->shape != DT_SHAPE_FANOUT)
        return;
    loop->left = dt_teardown(loop->keeper_lost      ? 0
                             : grace < REST_GRACE_S ? grace
                                                    : REST_GRACE_S,
                             &left);
    if (loop->left)
        dprintf(STDERR_FILENO, "dt-launch: %d process(es) on %s could not be ended: %s\n",
                loop->left, loop->job->place->node_name, left.data ? left.data : "");
    dt_shm_clean(loop->job->keeper.shm, loop->job->place->node_name);
    dt_buf_fini(&left);
}

/* Without a driver's ear the job runs all the same. */
static void open_superior(struct loop *loop)
{
    struct dt_error err = {""};
    int restarts;
    if (loop->job->place->shape != DT_SHAPE_FANOUT || !dt_session_leads(loop->job->session) ||
        !dt_superior_present(loop->job->place, &restarts))
        return;
    loop->superior = dt_superior_open(loop->job->place, &err);
    if (!loop->superior)
        dprintf(STDERR_FILENO, "dt-launch: warning: %s\n", err.text);
    else
        (void)listen_to(loop, dt_superior_fd(loop->superior), &loop->superior, &err);
    if (loop->superior)
        dt_superior_patience(loop->superior, loop->job->options->lost_after_s);
}

static void open_files_read(struct loop *loop)
{
    char *imports = dt_python_hook_imports(loop->job->hook);
    if (loop->job->place->rank == 0)
        loop->files_read = dt_prewarm_list_open(loop->job->options, imports);
    free(imports);
}

/* ---- attempts ------------------------------------------------------------------------------ */

static void begin_attempt(struct loop *loop)
{
    struct dt_job *job = loop->job;
    loop->left = -1;
    loop->running = 0;
    loop->ending = loop->termed = loop->decided = loop->reported = false;
    loop->muted = loop->stopping;
    loop->ended_at = loop->deadline = loop->quiet_until = loop->decide_by = 0;
    loop->code = 0;
    dt_status_begin(loop);
    loop->oom_kills = dt_oom_kills();
    dt_arrival_begin(&loop->arrival, job->options->missing_after_s);
    dt_checkpoint_begin_attempt(loop);
    dt_kernel_log_open(&loop->kernel_log);
    loop->first_dead = NULL;
    for (int i = 0; i < job->place->processes; i++) {
        struct dt_worker *worker = &job->workers[i];
        worker->out = worker->err = worker->progress = worker->pidfd = -1;
        worker->has_tail = false;
        worker->gate = job->place->processes > 1 ? dt_gate_create() : NULL;
        if (worker->error_file)
            unlink(worker->error_file); /* of the attempt before */
        if (job->place->shape == DT_SHAPE_FANOUT)
            dt_environ_set(&worker->env, "TORCHELASTIC_RESTART_COUNT", "%d", loop->restarts.done);
    }
}

static void end_attempt(struct loop *loop)
{
    const struct dt_job *job = loop->job;
    dt_loop_empty(loop);
    if (!loop->output || dt_output_finish(loop->output))
        dt_hang_destroy(loop->hang); /* else the output's thread still feeds it */
    else
        dprintf(STDERR_FILENO,
                "dt-launch: output of node %s is not complete: a pipe stayed open or "
                "its reader stopped\n",
                job->place->node_name);
    loop->output = NULL;
    loop->hang = NULL;
    for (int i = 0; i < job->place->processes; i++) {
        dt_close_once(&job->workers[i].out);
        dt_close_once(&job->workers[i].err);
        dt_close_once(&job->workers[i].progress);
        dt_gate_destroy(job->workers[i].gate);
        job->workers[i].gate = NULL;
    }
    if (loop->first_dead && !loop->stopping)
        dt_core_backtrace(loop->first_dead, job->path);
    dt_kernel_log_close(&loop->kernel_log);
    dt_arrival_fini(&loop->arrival);
    for (size_t i = 0; i < loop->failure_count; i++)
        dt_failure_fini(&loop->failures[i]);
    free(loop->failures);
    loop->failures = NULL;
    loop->failure_count = 0;
}

/* Start the ranks and stand by them until the job needs this node no more, or again. */
static int attempt(struct loop *loop)
{
    struct dt_error err = {""};
    int code = DT_EXIT_HELPER;
    begin_attempt(loop);
    if (loop->job->refusal)
        dt_loop_refuse(loop, loop->job->refusal_code, loop->job->refusal);
    else if (dt_streams_open(loop, &err) || start_all(loop, &code, &err))
        dt_loop_refuse(loop, code, &err);
    dt_loop_watch(loop);
    code = dt_loop_exit_code(loop);
    end_attempt(loop);
    return code;
}

int dt_supervise(struct dt_job *job)
{
    struct loop loop = {.job = job, .signals = -1, .poll = -1, .starter = job->keeper.starter};
    struct dt_error err = {""};
    int code = DT_EXIT_HELPER;
    for (int i = 0; i < job->place->processes; i++)
        job->workers[i].in = -1;
    loop.slurm_signals_all = dt_loop_slurm_signals_all(job->place);
    raise_file_limit(&loop);
    if (job->place->shape == DT_SHAPE_FANOUT)
        prctl(PR_SET_CHILD_SUBREAPER, 1);
    choose_input(&loop);
    if (dt_streams_prepare(&loop, &err) || open_events(&loop, &err)) {
        dprintf(STDERR_FILENO, "dt-launch: %s (node %s)\n", err.text, job->place->node_name);
    } else {
        dt_session_patience(job->session, job->options->lost_after_s);
        dt_loop_restarts_begin(&loop);
        dt_checkpoint_begin(&loop);
        open_superior(&loop);
        open_files_read(&loop);
        while (code = attempt(&loop), loop.restarts.start)
            dt_loop_restart(&loop);
        dt_prewarm_list_close(loop.files_read);
    }
    if (loop.superior && code == 0) /* a failure was told when it was named */
        dt_superior_tell(
            loop.superior,
            &(struct dt_superior_report){.follow = DT_FOLLOW_STOP, .restarts = loop.restarts.done});
    dt_superior_close(loop.superior);
    if (loop.superior_lost && !loop.stopping)
        dt_superior_lost(job->place, job->options->driver.requeue, loop.signals);
    dt_loop_restarts_end(&loop);
    dt_checkpoint_finish(&loop, code);
    dt_streams_fini(&loop);
    dt_close_once(&loop.poll);
    dt_close_once(&loop.signals);
    return code;
}
