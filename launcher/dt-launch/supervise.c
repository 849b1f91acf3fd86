/* SPDX-License-Identifier: Apache-2.0 */
/* The event loop: one signalfd, one deadline. */
#include "supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/exitcode.h"
#include "output.h"

/* When Slurm ends a step, a rank may die a moment before dt-launch itself gets the stop signal, or
 * is killed. So that the victims do not speak, the sentence waits so long (s): for deaths that look
 * like Slurm's doing, and for all others. */
#define HUSH_STOP  0.25
#define HUSH_OTHER 0.02
/* After a stop signal the ranks may be saving; a rank that ends badly then gives the others so
 * long. */
#define STOP_GRACE 30.0

static const int forwarded[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGCONT};
#define FORWARDED (sizeof forwarded / sizeof *forwarded)

struct loop {
    struct dt_job *job;
    struct dt_output *output; /* NULL: ranks have our own descriptors */
    sigset_t old_mask;
    int signals; /* signalfd */
    pid_t starter;
    bool slurm_signals_all;
    int running;
    struct dt_worker *first; /* that failed */
    bool stopping;           /* a stop signal came from outside */
    bool unsaid;             /* the failure has not been told yet */
    double say_at;
    double deadline; /* of the next step against the remaining ranks; 0: none */
    bool termed;     /* they have had SIGTERM */
};

static bool is_stop(int number)
{
    return number == SIGTERM || number == SIGINT || number == SIGHUP || number == SIGQUIT;
}

static void kill_running(struct loop *loop, int number)
{
    for (int i = 0; i < loop->job->place->processes; i++) {
        if (loop->job->workers[i].running)
            kill(loop->job->workers[i].pid, number);
    }
}

/* ---- signals ----------------------------------------------------------------------------- */

/* proctrack/cgroup gives signals to the task alone, that is, to dt-launch; proctrack/linuxproc
 * gives them to every process. A step's cgroup shows which it is. */
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

static void on_signal(struct loop *loop, const struct signalfd_siginfo *info)
{
    int number = (int)info->ssi_signo;
    bool grouped = loop->job->place->processes == 1;
    if (is_stop(number)) {
        loop->stopping = true;
        loop->unsaid = false;
    }
    /* Typed at a terminal: the kernel has given it to our whole process group. */
    if (info->ssi_code == SI_KERNEL && grouped)
        return;
    if (loop->slurm_signals_all && (pid_t)info->ssi_pid == loop->starter)
        return;
    kill_running(loop, number);
}

/* ---- ends -------------------------------------------------------------------------------- */

/* Ranks found dead in the same moment: a crash is the cause of an error exit sooner than the other
 * way round. */
static int weight(const struct dt_worker *worker)
{
    if (!WIFSIGNALED(worker->status))
        return 1;
    int number = WTERMSIG(worker->status);
    return number == SIGTERM || number == SIGINT || number == SIGPIPE ? 0 : 2;
}

static void say_failure(struct loop *loop)
{
    struct dt_buf text = DT_BUF_INIT;
    loop->unsaid = false;
    dt_buf_puts(&text, "dt-launch: ");
    dt_worker_describe(&text, loop->first, loop->job->place->node_name,
                       loop->job->options->program);
    dt_buf_puts(&text, "\n");
    char *line = dt_buf_take(&text);
    if (line && write(STDERR_FILENO, line, strlen(line)) < 0)
        errno = 0; /* nobody reads us: the exit code still tells */
    free(line);
}

/* Did a stop signal end it, by its default action or as shells and programs report one? */
static bool looks_stopped(const struct dt_worker *worker)
{
    int number = dt_status_code(worker->status) - DT_EXIT_SIGNAL;
    return is_stop(number) || number == SIGKILL;
}

static void on_failure(struct loop *loop, struct dt_worker *worker)
{
    double now = dt_now();
    loop->first = worker;
    loop->unsaid = !loop->stopping;
    loop->say_at = now;
    if (loop->job->place->in_step)
        loop->say_at += looks_stopped(worker) ? HUSH_STOP : HUSH_OTHER;
    loop->deadline = loop->stopping ? now + STOP_GRACE : now;
}

/* srun returns the highest code of all tasks, so a rank that Slurm stopped must not outbid the one
 * that failed: it gives the lowest code that is no success. */
static int exit_code(const struct loop *loop)
{
    if (!loop->first)
        return 0;
    if (loop->job->place->in_step && loop->stopping && looks_stopped(loop->first))
        return 1;
    return dt_status_code(loop->first->status);
}

static struct dt_worker *worker_of(struct loop *loop, pid_t pid)
{
    for (int i = 0; i < loop->job->place->processes; i++) {
        if (loop->job->workers[i].running && loop->job->workers[i].pid == pid)
            return &loop->job->workers[i];
    }
    return NULL;
}

/* Reaps orphans of the ranks too: dt-launch is their subreaper. */
static void reap(struct loop *loop)
{
    struct dt_worker *failed = NULL;
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        struct dt_worker *worker = worker_of(loop, pid);
        if (!worker)
            continue;
        worker->running = false;
        worker->status = status;
        worker->lived = dt_now() - worker->started;
        loop->running--;
        if (dt_status_code(status) != 0 && (!failed || weight(worker) > weight(failed)))
            failed = worker;
    }
    if (failed && !loop->first)
        on_failure(loop, failed);
}

/* ---- time -------------------------------------------------------------------------------- */

static void on_deadline(struct loop *loop)
{
    if (!loop->termed) {
        loop->termed = true;
        kill_running(loop, SIGTERM);
        kill_running(loop, SIGCONT); /* a stopped rank could not act on it */
        loop->deadline = dt_now() + loop->job->options->kill_grace_s;
    } else {
        kill_running(loop, SIGKILL);
        loop->deadline = 0;
    }
}

static void on_time(struct loop *loop)
{
    double now = dt_now();
    if (loop->deadline > 0 && now >= loop->deadline)
        on_deadline(loop);
    if (loop->unsaid && now >= loop->say_at)
        say_failure(loop);
}

static int wait_ms(const struct loop *loop)
{
    double next = loop->deadline;
    if (loop->unsaid && (next <= 0 || loop->say_at < next))
        next = loop->say_at;
    if (next <= 0)
        return -1;
    double ms = (next - dt_now()) * 1000;
    return ms <= 0 ? 0 : ms > 1e8 ? 100000000 : (int)ms + 1;
}

static void watch(struct loop *loop)
{
    for (;;) {
        struct signalfd_siginfo info;
        struct pollfd ready = {.fd = loop->signals, .events = POLLIN};
        on_time(loop);
        if (loop->running == 0 && !loop->unsaid)
            return;
        if (poll(&ready, 1, wait_ms(loop)) <= 0)
            continue;
        while (read(loop->signals, &info, sizeof info) == (ssize_t)sizeof info) {
            if (info.ssi_signo == SIGCHLD)
                reap(loop);
            else
                on_signal(loop, &info);
        }
    }
}

/* ---- start ------------------------------------------------------------------------------- */

static int open_signals(struct loop *loop, struct dt_error *err)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    for (size_t i = 0; i < FORWARDED; i++)
        sigaddset(&set, forwarded[i]);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_DFL); /* an inherited SIG_IGN would hide how the ranks end */
    sigprocmask(SIG_BLOCK, &set, &loop->old_mask);
    loop->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (loop->signals < 0)
        return dt_error_set(err, "signalfd: %s", strerror(errno));
    return 0;
}

static int open_output(struct loop *loop, struct dt_error *err)
{
    const struct dt_place *place = loop->job->place;
    enum dt_prefix kind = loop->job->options->prefix;
    if (kind == DT_PREFIX_NONE)
        return 0;
    loop->output = dt_output_create(err);
    for (int i = 0; loop->output && i < place->processes; i++) {
        struct dt_worker *worker = &loop->job->workers[i];
        struct dt_buf prefix = DT_BUF_INIT;
        if (kind == DT_PREFIX_NODE)
            dt_buf_printf(&prefix, "%s:", place->node_name);
        dt_buf_printf(&prefix, "%d", worker->rank);
        char *text = dt_buf_take(&prefix);
        if (text) {
            worker->out = dt_output_add(loop->output, text, STDOUT_FILENO, err);
            worker->err = dt_output_add(loop->output, text, STDERR_FILENO, err);
        }
        free(text);
        if (worker->out < 0 || worker->err < 0)
            return -1;
    }
    return loop->output ? 0 : -1;
}

/* Standard input can have one reader only; a terminal's would stop a rank in its own group. */
static void choose_input(struct loop *loop)
{
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int first = isatty(STDIN_FILENO) ? 0 : 1;
    for (int i = first; loop->job->place->processes > 1 && i < loop->job->place->processes; i++)
        loop->job->workers[i].in = null;
}

static void close_once(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static int start_all(struct loop *loop, int *code, struct dt_error *err)
{
    struct dt_job *job = loop->job;
    struct dt_worker_start start = {.path = job->path,
                                    .argv = job->options->program,
                                    .own_group = job->place->processes > 1,
                                    .mask = loop->old_mask};
    for (int i = 0; i < job->place->processes; i++) {
        if (dt_worker_start(&job->workers[i], &start, code, err))
            return -1;
        loop->running++;
    }
    for (int i = 0; i < job->place->processes; i++) {
        close_once(&job->workers[i].out);
        close_once(&job->workers[i].err);
    }
    *code = DT_EXIT_HELPER;
    return loop->output ? dt_output_start(loop->output, err) : 0;
}

static int fail(struct loop *loop, int code, const struct dt_error *err)
{
    dprintf(STDERR_FILENO, "dt-launch: %s (node %s)\n", err->text, loop->job->place->node_name);
    kill_running(loop, SIGKILL);
    return code;
}

int dt_supervise(struct dt_job *job)
{
    struct loop loop = {.job = job, .signals = -1, .starter = getppid()};
    struct dt_error err = {""};
    int code = DT_EXIT_HELPER;
    bool fanout = job->place->shape == DT_SHAPE_FANOUT;
    for (int i = 0; i < job->place->processes; i++)
        job->workers[i].in = job->workers[i].out = job->workers[i].err = -1;
    loop.slurm_signals_all = job->place->in_step && !inside_slurm_cgroup();
    if (fanout)
        prctl(PR_SET_CHILD_SUBREAPER, 1);
    choose_input(&loop);
    if (open_signals(&loop, &err) || open_output(&loop, &err) || start_all(&loop, &code, &err)) {
        code = fail(&loop, code, &err);
    } else {
        watch(&loop);
        code = exit_code(&loop);
    }
    int left = fanout ? dt_sweep() : 0;
    if (left)
        dprintf(STDERR_FILENO, "dt-launch: %d process(es) on %s could not be ended\n", left,
                job->place->node_name);
    if (loop.output && !dt_output_finish(loop.output))
        dprintf(STDERR_FILENO,
                "dt-launch: output of node %s is not complete: a pipe stayed open or "
                "its reader stopped\n",
                job->place->node_name);
    return code;
}
