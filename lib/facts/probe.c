/* SPDX-License-Identifier: Apache-2.0 */
/* Children with a deadline. */
#include "facts/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/root.h"

/* How long a killed child is waited for before it is left alone. */
enum { REAP_MS = 20 };

long long dt_monotonic_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000LL + now.tv_nsec / 1000;
}

static void close_between(int low, int high)
{
    if (low <= high)
        syscall(SYS_close_range, (unsigned)low, (unsigned)high, 0u);
}

/* A child that can not be killed must not keep the parent's pipes and sockets open. */
static void drop_descriptors(int keep_a, int keep_b)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd < 3; fd++) {
        if (fd == keep_a || fd == keep_b)
            continue;
        if (null < 0 || dup2(null, fd) < 0)
            close(fd);
    }
    int low = keep_a < keep_b ? keep_a : keep_b;
    int high = keep_a < keep_b ? keep_b : keep_a;
    if (low < 3)
        low = 2;
    if (high < 3)
        high = 2;
    close_between(3, low - 1);
    close_between(low + 1, high - 1);
    syscall(SYS_close_range, (unsigned)high + 1, ~0u, 0u);
}

int dt_probe_start(struct dt_probe *probe, void (*run)(int out, void *argument), void *argument,
                   int keep_fd, long long timeout_ms, struct dt_error *err)
{
    *probe = (struct dt_probe){.fd = -1, .pidfd = -1, .timeout_ms = timeout_ms};
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return dt_error_set(err, "could not be asked: no pipe: %s", strerror(errno));
    probe->deadline_us = dt_monotonic_us() + timeout_ms * 1000;
    pid_t pid = fork();
    if (pid < 0) {
        dt_error_set(err, "could not be asked: no child process: %s", strerror(errno));
        close(ends[0]);
        close(ends[1]);
        return -1;
    }
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        drop_descriptors(ends[1], keep_fd);
        run(ends[1], argument);
        _exit(0);
    }
    close(ends[1]);
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    probe->pid = pid;
    probe->fd = ends[0];
    probe->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    return 0;
}

static int remaining_ms(long long deadline_us)
{
    long long left = deadline_us - dt_monotonic_us();
    return left <= 0 ? 0 : (int)((left + 999) / 1000);
}

/* Take what is there. 1: end of the text; 0: more may come; -1: too much. */
static int drain(struct dt_probe *probe)
{
    char bytes[4096];
    for (;;) {
        ssize_t n = read(probe->fd, bytes, sizeof bytes);
        if (n == 0)
            return 1;
        if (n < 0)
            return errno == EAGAIN || errno == EINTR ? 0 : 1;
        if (probe->out.len + (size_t)n > DT_PROBE_OUTPUT_MAX)
            return -1;
        dt_buf_append(&probe->out, bytes, (size_t)n);
    }
}

/* A child that can not be interrupted waits for a server or a device: where in the kernel, names which.
 * The kernel tells root alone. */
static int say_late(const struct dt_probe *probe, struct dt_error *err)
{
    char path[64], text[512] = "", where[64] = "";
    struct dt_root root = {.fd = -1};
    snprintf(path, sizeof path, "/proc/%d", (int)probe->pid);
    root.fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root.fd >= 0 && dt_root_read(&root, text, sizeof text, "stat") > 0 &&
        strstr(text, ") D ") && dt_root_read(&root, where, sizeof where, "wchan") > 0 &&
        strcmp(where, "0") == 0)
        where[0] = '\0';
    if (root.fd >= 0)
        close(root.fd);
    return dt_error_set(err, "did not answer in %lld ms%s%s%s", probe->timeout_ms,
                        *where ? " (the kernel holds it in " : "", where, *where ? ")" : "");
}

static int read_all(struct dt_probe *probe, struct dt_error *err)
{
    for (;;) {
        struct pollfd wait = {.fd = probe->fd, .events = POLLIN};
        int ready = poll(&wait, 1, remaining_ms(probe->deadline_us));
        if (ready < 0 && errno != EINTR)
            return dt_error_set(err, "could not be asked: poll: %s", strerror(errno));
        int end = drain(probe);
        if (end == 1)
            return 0;
        if (end < 0)
            return dt_error_set(err, "answered with more than %u bytes", DT_PROBE_OUTPUT_MAX);
        probe->timed_out = ready == 0;
        if (probe->timed_out)
            return say_late(probe, err);
    }
}

bool dt_probe_wait(struct dt_probe *probe, int ms)
{
    long long until = dt_monotonic_us() + ms * 1000LL;
    if (until > probe->deadline_us)
        until = probe->deadline_us;
    for (;;) {
        struct pollfd wait = {.fd = probe->fd, .events = POLLIN};
        int ready = poll(&wait, 1, remaining_ms(until));
        if ((ready < 0 && errno != EINTR) || drain(probe) != 0)
            return true;
        if (ready == 0)
            return false;
    }
}

/* Collect the child within `ms`. 1: ended, *status is set; 0: still there; -1: someone else has it.
 */
static int reap(struct dt_probe *probe, int ms, int *status)
{
    if (probe->pidfd >= 0) {
        struct pollfd wait = {.fd = probe->pidfd, .events = POLLIN};
        while (poll(&wait, 1, ms) < 0 && errno == EINTR)
            ;
    }
    long long until = dt_monotonic_us() + (probe->pidfd < 0 ? ms * 1000LL : 0);
    pid_t got;
    while ((got = waitpid(probe->pid, status, WNOHANG)) == 0 && dt_monotonic_us() < until)
        nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
    return got == probe->pid ? 1 : (int)got;
}

static int judge_end(int reaped, int status, struct dt_error *err)
{
    if (reaped == 0)
        return dt_error_set(err, "answered, and then its process did not end");
    if (reaped < 0 || (WIFEXITED(status) && WEXITSTATUS(status) == 0))
        return 0;
    if (WIFSIGNALED(status))
        return dt_error_set(err, "crashed with signal %d (%s) while it was asked", WTERMSIG(status),
                            strsignal(WTERMSIG(status)));
    return dt_error_set(err, "could not be asked: its process ended with status %d",
                        WEXITSTATUS(status));
}

int dt_probe_finish(struct dt_probe *probe, char **text, struct dt_error *err)
{
    int rc = read_all(probe, err);
    int status = 0;
    if (rc == 0) {
        int left = remaining_ms(probe->deadline_us);
        int reaped = reap(probe, left > REAP_MS ? left : REAP_MS, &status);
        rc = judge_end(reaped, status, err);
        if (reaped == 0)
            kill(probe->pid, SIGKILL);
    } else {
        kill(probe->pid, SIGKILL);
        reap(probe, REAP_MS, &status);
    }
    close(probe->fd);
    if (probe->pidfd >= 0)
        close(probe->pidfd);
    probe->pid = 0;
    *text = dt_buf_take(&probe->out);
    if (!*text)
        return dt_error_set(err, "could not be asked: out of memory");
    return rc;
}

int dt_probe_here(char **text, void (*run)(int out, void *argument), void *argument,
                  struct dt_error *err)
{
    struct dt_buf out = DT_BUF_INIT;
    char bytes[4096];
    ssize_t n;
    int fd = memfd_create("dt-probe", MFD_CLOEXEC);
    if (fd < 0)
        return dt_error_set(err, "could not be asked: no file in memory: %s", strerror(errno));
    run(fd, argument);
    for (off_t at = 0; (n = pread(fd, bytes, sizeof bytes, at)) > 0; at += n)
        dt_buf_append(&out, bytes, (size_t)n);
    close(fd);
    *text = n == 0 ? dt_buf_take(&out) : NULL;
    if (*text)
        return 0;
    dt_buf_fini(&out);
    return dt_error_set(err, "could not be asked: out of memory");
}

void dt_probe_say(int out, const char *text)
{
    size_t len = strlen(text);
    while (len > 0) {
        ssize_t n = write(out, text, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            _exit(1);
        text += n;
        len -= (size_t)n;
    }
}
