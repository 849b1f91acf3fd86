/* SPDX-License-Identifier: Apache-2.0 */
/* fork and exec of one rank, and the sentence about how it ended. */
#include "worker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/exitcode.h"
#include "ulimits.h"

long long dt_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (long long)t.tv_sec * 1000000000 + t.tv_nsec;
}

double dt_now(void)
{
    return (double)dt_now_ns() / 1e9;
}

static void move(int from, int to)
{
    if (from >= 0)
        dup2(from, to); /* the copy is not close-on-exec */
}

/* What the child tells of its failure. */
struct failure {
    int step; /* enum dt_bind_step; 0: exec */
    int why;  /* errno */
};

static void __attribute__((noreturn)) give_up(int tell, struct failure failure, int code)
{
    while (write(tell, &failure, sizeof failure) < 0 && errno == EINTR)
        ;
    _exit(code);
}

/* In the child. Tells what failed through the pipe; returns only by _exit. */
static void __attribute__((noreturn))
become(const struct dt_worker *worker, const struct dt_worker_start *start, pid_t parent, int tell)
{
    /* Killing dt-launch kills the ranks; the second test is for a parent that died before. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(DT_EXIT_HELPER);
    if (start->own_group)
        setpgid(0, 0);
    move(worker->in, STDIN_FILENO);
    move(worker->out, STDOUT_FILENO);
    move(worker->err, STDERR_FILENO);
    if (worker->progress >= 0)
        fcntl(worker->progress, F_SETFD, 0); /* the same number, but not close-on-exec */
    signal(SIGPIPE, SIG_DFL);
    sigprocmask(SIG_SETMASK, &start->mask, NULL);
    if (worker->gate)
        dt_gate_hold(worker->gate);
    setrlimit(RLIMIT_NOFILE, &start->files);
    int unused;
    if (dt_ulimits_apply(start->limits, start->limit_count, &unused))
        _exit(DT_EXIT_APPLY); /* tried before: dt_ulimits_check() */

    struct failure failure = {0};
    if (worker->bind)
        failure.step = dt_bind_target_apply(worker->bind, &failure.why);
    if (failure.step)
        give_up(tell, failure, DT_EXIT_APPLY);
    execve(worker->path ? worker->path : start->path, worker->argv ? worker->argv : start->argv,
           worker->env.items);
    failure.why = errno;
    give_up(tell, failure, DT_EXIT_NOT_EXECUTABLE);
}

static int exec_failed(const char *path, int why, int *code, struct dt_error *err)
{
    *code = DT_EXIT_NOT_EXECUTABLE;
    if (why == ENOENT) {
        *code = DT_EXIT_NOT_FOUND;
        return dt_error_set(err, "%s is there, but the interpreter or loader that it names is not",
                            path);
    }
    if (why == ENOEXEC)
        return dt_error_set(err,
                            "%s is neither a program of this machine nor a script that begins "
                            "with #!",
                            path);
    if (why == E2BIG)
        return dt_error_set(err, "%s: arguments and environment together are too long", path);
    return dt_error_set(err, "%s can not be executed: %s", path, strerror(why));
}

int dt_worker_start(struct dt_worker *worker, const struct dt_worker_start *start, int *code,
                    struct dt_error *err)
{
    struct failure failure;
    int ends[2];
    pid_t parent = getpid();
    *code = DT_EXIT_HELPER;
    if (pipe2(ends, O_CLOEXEC))
        return dt_error_set(err, "a pipe can not be made: %s", strerror(errno));
    worker->started = dt_now();
    worker->pid = fork();
    if (worker->pid == 0)
        become(worker, start, parent, ends[1]);
    close(ends[1]);
    if (worker->pid < 0) {
        close(ends[0]);
        return dt_error_set(err, "rank %d can not be started: fork: %s", worker->rank,
                            strerror(errno));
    }
    if (start->own_group)
        setpgid(worker->pid, worker->pid); /* in both, so that it holds when either goes on */
    ssize_t n;
    while ((n = read(ends[0], &failure, sizeof failure)) < 0 && errno == EINTR)
        ;
    close(ends[0]);
    if (n == sizeof failure) {
        waitpid(worker->pid, NULL, 0);
        if (!failure.step)
            return exec_failed(worker->path ? worker->path : start->path, failure.why, code, err);
        *code = DT_EXIT_APPLY;
        return dt_bind_target_failed(worker->bind, failure.step, failure.why, worker->rank, err);
    }
    worker->running = true;
    if (worker->gate)
        dt_gate_watch(worker->gate);
    worker->pidfd = (int)syscall(SYS_pidfd_open, worker->pid, 0);
    return 0;
}

int dt_status_code(int status)
{
    return WIFSIGNALED(status) ? DT_EXIT_SIGNAL + WTERMSIG(status) : WEXITSTATUS(status);
}

/* The command as typed, cut at 200 bytes; control characters become '?'. */
static void put_command(struct dt_buf *text, char *const *argv)
{
    size_t begin = text->len;
    for (; *argv && text->len - begin <= 200; argv++)
        dt_buf_printf(text, "%s%s", text->len > begin ? " " : "", *argv);
    if (text->failed)
        return;
    if (*argv || text->len - begin > 200) {
        text->len = text->len - begin > 200 ? begin + 200 : text->len;
        dt_buf_puts(text, " ...");
    }
    for (char *c = text->data + begin; *c; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
    }
}

void dt_worker_describe(struct dt_buf *text, const struct dt_worker *worker, const char *node,
                        const char *how, char *const *argv)
{
    if (worker->role)
        dt_buf_printf(text, "role %s (on %s, pid %d) ", worker->role, node, (int)worker->pid);
    else
        dt_buf_printf(text, "rank %d (local %d on %s, pid %d) ", worker->rank, worker->local_rank,
                      node, (int)worker->pid);
    if (how) {
        dt_buf_puts(text, how);
    } else if (WIFSIGNALED(worker->status)) {
        int number = WTERMSIG(worker->status);
        const char *name = sigabbrev_np(number);
        dt_buf_printf(text, "was killed by signal %d (SIG%s%s)", number, name ? name : "?",
                      WCOREDUMP(worker->status) ? ", core dumped" : "");
    } else {
        dt_buf_printf(text, "exited with code %d", WEXITSTATUS(worker->status));
    }
    dt_buf_printf(text, " after %.1f s: ", worker->lived);
    put_command(text, worker->role && worker->argv ? worker->argv : argv);
}
