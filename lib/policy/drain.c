/* SPDX-License-Identifier: Apache-2.0 */
/* Running dt-drain: a process of its own session, so that it outlives the step that it was started
 * from, with nothing of that step's but one pipe. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/beside.h"
#include "base/buf.h"
#include "facts/printable.h"
#include "facts/probe.h"
#include "policy/policy.h"

enum { LIMIT = 2, LEFT_ALONE = 3, ANSWER_MAX = 4096 };

static void __attribute__((noreturn)) become(const char *path, char **argv, int out)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    setsid();
    dup2(null, STDIN_FILENO);
    dup2(null, STDERR_FILENO);
    dup2(out, STDOUT_FILENO);
    for (int fd = STDERR_FILENO + 1; fd < 1024; fd++)
        close(fd);
    execv(path, argv);
    _exit(127);
}

static pid_t start(const char *path, const struct dt_conf *conf, const struct dt_proposal *proposal,
                   int *from)
{
    char max[32], minutes[32];
    char *argv[] = {(char *)"dt-drain",
                    (char *)"--reason",
                    proposal->reason,
                    (char *)"--state",
                    proposal->state,
                    (char *)"--prefix",
                    conf->drain_prefix,
                    (char *)"--max-nodes",
                    max,
                    (char *)"--in-minutes",
                    minutes,
                    conf->drain_style == DT_DRAIN_STYLE_HYPERPOD ? (char *)"--hyperpod" : NULL,
                    NULL};
    int ends[2];
    snprintf(max, sizeof max, "%lld", conf->drain_max_nodes);
    snprintf(minutes, sizeof minutes, "%lld", conf->drain_in_minutes);
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0)
        become(path, argv, ends[1]);
    close(ends[1]);
    if (pid < 0)
        close(ends[0]);
    *from = ends[0];
    return pid;
}

/* What it says, up to its end. false: not in time. */
static bool listen_to(int fd, struct dt_buf *text, int wait_ms)
{
    long long deadline = dt_monotonic_us() + wait_ms * 1000LL;
    char piece[512];
    for (;;) {
        long long left = deadline - dt_monotonic_us();
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        int ready = left > 0 ? poll(&wait, 1, (int)(left / 1000) + 1) : 0;
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0)
            return false;
        ssize_t n = read(fd, piece, sizeof piece);
        if (n <= 0)
            return true;
        if (text->len < ANSWER_MAX)
            dt_buf_append(text, piece, (size_t)n);
    }
}

static enum dt_drain_end end_of(int status)
{
    if (!WIFEXITED(status))
        return DT_DRAIN_FAILED;
    switch (WEXITSTATUS(status)) {
    case 0:
        return DT_DRAIN_DONE;
    case LIMIT:
        return DT_DRAIN_LIMIT;
    case LEFT_ALONE:
        return DT_DRAIN_LEFT;
    default:
        return DT_DRAIN_FAILED;
    }
}

enum dt_drain_end dt_policy_drain(const struct dt_conf *conf, const struct dt_proposal *proposal,
                                  int wait_ms, char **sentence)
{
    struct dt_buf text = DT_BUF_INIT;
    char *path = dt_beside("dt-drain");
    int from = -1, status = 0;
    enum dt_drain_end end = DT_DRAIN_FAILED;
    pid_t pid = path ? start(path, conf, proposal, &from) : -1;
    if (pid < 0) {
        dt_buf_printf(&text, "not drained: dt-drain %s; reason: %s",
                      path ? "can not be started" : "is not installed with this program",
                      proposal->reason);
    } else if (listen_to(from, &text, wait_ms)) {
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            ;
        end = end_of(status);
        if (text.len == 0)
            dt_buf_printf(&text,
                          "not drained: dt-drain ended with status %d: is slurm.conf where "
                          "libslurm looks for it?; reason: %s",
                          WIFEXITED(status) ? WEXITSTATUS(status) : -1, proposal->reason);
    } else {
        end = DT_DRAIN_LATE;
        dt_buf_clear(&text);
        dt_buf_printf(&text, "dt-drain has not ended in %d ms, and goes on: %s", wait_ms,
                      proposal->reason);
    }
    if (pid >= 0)
        close(from);
    free(path);
    *sentence = dt_buf_take(&text);
    if (*sentence) {
        (*sentence)[strcspn(*sentence, "\n")] = '\0';
        dt_printable(*sentence);
    }
    return end;
}
