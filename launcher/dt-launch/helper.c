/* SPDX-License-Identifier: Apache-2.0 */
/* Running a helper and taking its answer. */
#include "helper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "worker.h"

#define HELPER_SECONDS 10.0
#define ANSWER_MAX     (1u << 20) /* bytes */

struct run {
    pid_t pid;
    int from; /* its standard output; -1: that is our standard error */
};

static void __attribute__((noreturn)) become(const struct dt_helper *helper, int out)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    dup2(null, STDIN_FILENO);
    if (!helper->speaks)
        dup2(null, STDERR_FILENO);
    dup2(out, STDOUT_FILENO);
    execve(helper->path, helper->argv, helper->env);
    _exit(127);
}

static int start(struct run *run, const struct dt_helper *helper, bool listen, struct dt_error *err)
{
    int ends[2] = {-1, -1};
    if (listen && pipe2(ends, O_CLOEXEC))
        return dt_error_set(err, "a pipe can not be made: %s", strerror(errno));
    run->from = ends[0];
    run->pid = fork();
    if (run->pid == 0)
        become(helper, listen ? ends[1] : STDERR_FILENO);
    if (ends[1] >= 0)
        close(ends[1]);
    if (run->pid > 0)
        return 0;
    if (ends[0] >= 0)
        close(ends[0]);
    return dt_error_set(err, "%s can not be started: fork: %s", helper->path, strerror(errno));
}

/* Its output until it ends, or the deadline. */
static int read_all(int fd, struct dt_buf *text, double deadline)
{
    char piece[4096];
    for (;;) {
        double left = deadline - dt_now();
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        if (left <= 0 || text->len > ANSWER_MAX)
            return -1;
        int ready = poll(&wait, 1, (int)(left * 1000) + 1);
        if (ready < 0 && errno != EINTR)
            return -1;
        if (ready <= 0)
            continue;
        ssize_t n = read(fd, piece, sizeof piece);
        if (n == 0)
            return text->failed ? -1 : 0;
        if (n < 0 && errno != EINTR)
            return -1;
        if (n > 0)
            dt_buf_append(text, piece, (size_t)n);
    }
}

static int reap(const struct run *run, const struct dt_helper *helper, bool heard,
                struct dt_error *err)
{
    int status = 0;
    if (!heard)
        kill(run->pid, SIGKILL);
    while (waitpid(run->pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (!heard)
        return dt_error_set(err, "%s gave no answer in %.0f s, or one that is too long",
                            helper->path, HELPER_SECONDS);
    if (WIFSIGNALED(status))
        return dt_error_set(err, "%s was killed by signal %d", helper->path, WTERMSIG(status));
    if (WEXITSTATUS(status) > helper->last_good)
        return dt_error_set(err, "%s ended with code %d", helper->path, WEXITSTATUS(status));
    return 0;
}

int dt_helper_run(const struct dt_helper *helper, struct dt_buf *answer, struct dt_error *err)
{
    struct run run = {.pid = -1, .from = -1};
    bool heard = true;
    if (start(&run, helper, answer != NULL, err))
        return -1;
    if (answer) {
        heard = read_all(run.from, answer, dt_now() + HELPER_SECONDS) == 0;
        close(run.from);
    }
    return reap(&run, helper, heard, err);
}
