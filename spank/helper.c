/* SPDX-License-Identifier: Apache-2.0 */
/* Starting dt-node and dt-gather, and talking to them with deadlines. Between fork and exec there
 * are system calls only: slurmstepd and srun have threads, and any lock may be held. */
#include "helper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "paths.h"

#define EXEC_FAILED 126
#define LINE_LIMIT  65536u /* bytes of one answer; a helper that says more is broken */

long long now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static int __attribute__((format(printf, 2, 3))) say(struct sentence *why, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(why->text, sizeof why->text, format, args);
    va_end(args);
    text_printable(why->text);
    return -1;
}

/* Owned by root (or `owner`) and writable by no one else. */
static int trusted(const char *path, const struct stat *st, uid_t owner, struct sentence *why)
{
    if (st->st_uid != 0 && st->st_uid != owner)
        return say(why, "%s is owned by uid %u and is not trusted; it must belong to root", path,
                   (unsigned)st->st_uid);
    if (st->st_mode & (S_IWGRP | S_IWOTH))
        return say(why, "%s is writable by %s (mode %04o) and is not trusted; run: chmod go-w %s",
                   path, st->st_mode & S_IWOTH ? "everyone" : "its group",
                   (unsigned)(st->st_mode & 07777), path);
    return 0;
}

static int check_files(const char *directory, const char *path, uid_t owner, struct sentence *why)
{
    struct stat st;
    if (stat(directory, &st) < 0)
        return say(why, "the helper directory %s can not be used: %s", directory, strerror(errno));
    if (trusted(directory, &st, owner, why) < 0)
        return -1;
    if (stat(path, &st) < 0)
        return say(why, "%s can not be started: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return say(why, "%s can not be started: it is not a regular file", path);
    return trusted(path, &st, owner, why);
}

/* Only for the child: put `fd` above those that are about to be replaced. */
static int out_of_the_way(int fd)
{
    return fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 10);
}

static void close_from(unsigned first)
{
    if (syscall(SYS_close_range, first, ~0u, 0) == 0)
        return;
    for (int fd = (int)first; fd < 65536; fd++) /* kernels before 5.9 */
        close(fd);
}

static void reset_signals(void)
{
    sigset_t none;
    for (int signal_number = 1; signal_number < NSIG; signal_number++)
        signal(signal_number, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static void become_root(void)
{
    if (syscall(SYS_setresuid, 0, 0, 0) < 0 || syscall(SYS_setresgid, 0, 0, 0) < 0 ||
        syscall(SYS_setgroups, 0, NULL) < 0)
        _exit(EXEC_FAILED);
}

/* The child, up to exec. Raw system calls for the ids: glibc's would try to change other threads.
 */
static void run(const struct helper_start *start, const char *path, int in, int out, bool root)
{
    reset_signals();
    setpgid(0, 0); /* a Ctrl-C on the terminal is srun's to handle */
    in = out_of_the_way(in);
    out = out_of_the_way(out);
    int plan = out_of_the_way(start->plan);
    if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || (plan >= 0 && dup2(plan, 3) < 0))
        _exit(EXEC_FAILED);
    if (start->aside) {
        close(2);
        signal(SIGTERM, SIG_IGN);
        signal(SIGINT, SIG_IGN);
        signal(SIGHUP, SIG_IGN);
    }
    if (fcntl(2, F_GETFD) < 0)
        open("/dev/null", O_WRONLY); /* the lowest that is free: 2 */
    close_from(plan >= 0 ? 4 : 3);
    if (root)
        become_root();
    if (start->as_root && chdir("/") < 0)
        _exit(EXEC_FAILED);
    execve(path, start->argv, start->environ);
    _exit(EXEC_FAILED);
}

int helper_start(struct helper *helper, const struct helper_start *start, struct sentence *why)
{
    int in[2] = {-1, -1}, out[2] = {-1, -1}, rc = -1;
    struct text path = {0};
    const char *directory = start->directory ? start->directory : DT_LIBEXECDIR;
    uid_t real, effective, saved;

    *helper = HELPER_INIT;
    helper->name = start->name;
    text_printf(&path, "%s/%s", directory, start->name);
    if (path.failed) {
        say(why, "%s could not be started: out of memory", start->name);
        goto out;
    }
    if (check_files(directory, path.data, start->owner, why) < 0)
        goto out;
    if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0) {
        say(why, "%s could not be started: no pipe: %s", start->name, strerror(errno));
        goto out;
    }
    getresuid(&real, &effective, &saved);
    bool root = start->as_root && (real == 0 || saved == 0);
    helper->pid = fork();
    if (helper->pid == 0)
        run(start, path.data, in[0], out[1], root);
    if (helper->pid < 0) {
        helper->pid = 0;
        say(why, "%s could not be started: %s", start->name, strerror(errno));
        goto out;
    }
    helper->to = in[1];
    helper->from = out[0];
    in[1] = out[0] = -1;
    fcntl(helper->to, F_SETFL, O_NONBLOCK);
    fcntl(helper->from, F_SETFL, O_NONBLOCK);
    rc = 0;
out:
    for (int i = 0; i < 2; i++) {
        if (in[i] >= 0)
            close(in[i]);
        if (out[i] >= 0)
            close(out[i]);
    }
    text_fini(&path);
    return rc;
}

/* SIGKILL to the helper and whatever it started, while its process id is certainly still its own.
 * In slurmstepd's user_init we are the user and the helper is root's. */
static void kill_group(const struct helper *helper)
{
    uid_t effective = geteuid();
    bool raised = effective != 0 && syscall(SYS_setresuid, -1, 0, -1) == 0;
    kill(-helper->pid, SIGKILL);
    kill(helper->pid, SIGKILL); /* it may not have made its group yet */
    if (raised && syscall(SYS_setresuid, -1, effective, -1) < 0)
        abort(); /* never go on as root by accident */
}

/* true: it has ended (or was waited for by someone else) and *status is its end. */
static bool reap(struct helper *helper, int *status, int wait_ms)
{
    long long deadline = now_ms() + wait_ms;
    for (;;) {
        siginfo_t info = {0};
        int rc = waitid(P_PID, (id_t)helper->pid, &info, WEXITED | WNOHANG | WNOWAIT);
        if (rc == 0 && info.si_pid == helper->pid) {
            /* A probe that it left behind would hold the step's stderr, and with it the step. */
            kill_group(helper);
            waitpid(helper->pid, status, 0);
            helper->pid = 0;
            return true;
        }
        if (rc < 0 && errno != EINTR) {
            helper->pid = 0;
            return true;
        }
        if (now_ms() >= deadline)
            return false;
        poll(NULL, 0, 1);
    }
}

static void kill_now(struct helper *helper)
{
    int status;
    if (helper->pid <= 0)
        return;
    kill_group(helper);
    reap(helper, &status, 1000);
}

void helper_stop(struct helper *helper, int wait_ms, bool kill_late)
{
    int status;
    if (helper->to >= 0)
        close(helper->to);
    if (helper->from >= 0)
        close(helper->from);
    helper->to = helper->from = -1;
    text_fini(&helper->heard);
    if (helper->pid > 0 && !reap(helper, &status, wait_ms) && kill_late)
        kill_now(helper);
    helper->pid = 0;
}

bool helper_crashed(const struct helper *helper, struct sentence *why)
{
    siginfo_t info = {0};
    if (helper->pid <= 0 ||
        waitid(P_PID, (id_t)helper->pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 ||
        info.si_pid != helper->pid || info.si_code == CLD_EXITED)
        return false;
    say(why, "%s was killed by signal %d (%s)", helper->name, info.si_status,
        strsignal(info.si_status));
    return true;
}

/* It closed its pipe: say what became of it. */
static int ended(struct helper *helper, struct sentence *why)
{
    int status = 0;
    const char *name = helper->name;
    if (helper->pid <= 0 || !reap(helper, &status, 200)) {
        kill_now(helper);
        return say(why, "%s stopped answering and was killed", name);
    }
    if (WIFSIGNALED(status))
        return say(why, "%s was killed by signal %d (%s) before it answered", name,
                   WTERMSIG(status), strsignal(WTERMSIG(status)));
    if (WEXITSTATUS(status) == EXEC_FAILED)
        return say(why, "%s could not be executed", name);
    return say(why, "%s ended with code %d before it answered", name, WEXITSTATUS(status));
}

/* Wait until the descriptor is ready. 1 ready, 0 deadline. */
static int ready(int fd, short events, long long deadline)
{
    for (;;) {
        long long left = deadline - now_ms();
        struct pollfd poll_fd = {.fd = fd, .events = events};
        int n = poll(&poll_fd, 1, left > 0 ? (int)left : 0);
        if (n > 0)
            return 1;
        if (n == 0 || errno != EINTR)
            return 0;
    }
}

/* write(2) without SIGPIPE, whatever the host process does with that signal. */
static ssize_t write_quietly(int fd, const char *bytes, size_t len)
{
    sigset_t pipe_set, old, pending;
    struct timespec now = {0};
    sigemptyset(&pipe_set);
    sigaddset(&pipe_set, SIGPIPE);
    sigpending(&pending);
    bool was_pending = sigismember(&pending, SIGPIPE) == 1;
    pthread_sigmask(SIG_BLOCK, &pipe_set, &old);
    ssize_t n = write(fd, bytes, len);
    int error = errno;
    if (n < 0 && error == EPIPE && !was_pending)
        sigtimedwait(&pipe_set, NULL, &now);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    errno = error;
    return n;
}

int helper_tell(struct helper *helper, const struct text *text, long long deadline,
                struct sentence *why)
{
    size_t done = 0;
    if (text->failed)
        return say(why, "%s could not be asked: out of memory", helper->name);
    while (done < text->len) {
        ssize_t n = write_quietly(helper->to, text->data + done, text->len - done);
        if (n > 0) {
            done += (size_t)n;
        } else if (n < 0 && errno == EAGAIN) {
            if (ready(helper->to, POLLOUT, deadline))
                continue;
            kill_now(helper);
            return say(why, "%s did not read its input and was killed", helper->name);
        } else if (n < 0 && errno != EINTR) {
            return ended(helper, why);
        }
    }
    return 0;
}

/* Take the first line out of what was heard. */
static int take_line(struct helper *helper, char **line)
{
    struct text *heard = &helper->heard;
    char *newline = heard->data ? memchr(heard->data, '\n', heard->len) : NULL;
    if (!newline)
        return 0;
    size_t len = (size_t)(newline - heard->data);
    *line = strndup(heard->data, len);
    heard->len -= len + 1;
    memmove(heard->data, newline + 1, heard->len + 1);
    return *line ? 1 : -1;
}

int helper_ask(struct helper *helper, char **line, long long deadline, struct sentence *why)
{
    char chunk[4096];
    long long begin = now_ms();
    for (;;) {
        int got = take_line(helper, line);
        if (got < 0 || helper->heard.failed)
            return say(why, "%s could not be heard: out of memory", helper->name);
        if (got > 0)
            return 0;
        if (helper->heard.len > LINE_LIMIT) {
            kill_now(helper);
            return say(why, "%s answered with a line of more than %u bytes", helper->name,
                       LINE_LIMIT);
        }
        ssize_t n = read(helper->from, chunk, sizeof chunk);
        if (n > 0) {
            text_add(&helper->heard, chunk, (size_t)n);
        } else if (n == 0) {
            return ended(helper, why);
        } else if (errno == EAGAIN) {
            if (ready(helper->from, POLLIN, deadline))
                continue;
            kill_now(helper);
            return say(why, "%s did not answer in %.1f s and was killed", helper->name,
                       (double)(now_ms() - begin) / 1000);
        } else if (errno != EINTR) {
            return say(why, "%s can not be heard: %s", helper->name, strerror(errno));
        }
    }
}
