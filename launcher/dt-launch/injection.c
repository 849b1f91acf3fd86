/* SPDX-License-Identifier: Apache-2.0 */
/* The EFA, NCCL and libfabric variables where Slurm's plugin has not set them. dt-launch is one static
 * binary and holds no rules: it asks dt-env beside it, and where there is none it says so once. */
#include "injection.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/error.h"
#include "worker.h"

#define HELPER_SECONDS 10.0
#define ANSWER_MAX     (1u << 20) /* bytes */

/* In the directory of this binary, or in the libexec of its prefix. Caller frees. */
static char *find_helper(void)
{
    static const char *const places[] = {"%.*s/dt-env", "%.*s/../libexec/dt/dt-env"};
    char own[PATH_MAX], *path = NULL;
    ssize_t n = readlink("/proc/self/exe", own, sizeof own - 1);
    if (n <= 0)
        return NULL;
    own[n] = '\0';
    int folder = (int)(strrchr(own, '/') - own);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        if (asprintf(&path, places[i], folder, own) < 0)
            return NULL;
        if (access(path, X_OK) == 0)
            return path;
        free(path);
    }
    return NULL;
}

struct helper {
    const char *path;
    char *const *argv;
    bool speaks; /* may use our standard error */
    pid_t pid;
    int from; /* its standard output; -1: that is our standard error */
};

static void __attribute__((noreturn)) become(const struct helper *helper, int out)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    dup2(null, STDIN_FILENO);
    if (!helper->speaks)
        dup2(null, STDERR_FILENO);
    dup2(out, STDOUT_FILENO);
    execv(helper->path, helper->argv);
    _exit(127);
}

static int start(struct helper *helper, bool listen, struct dt_error *err)
{
    int ends[2] = {-1, -1};
    if (listen && pipe2(ends, O_CLOEXEC))
        return dt_error_set(err, "a pipe can not be made: %s", strerror(errno));
    helper->from = ends[0];
    helper->pid = fork();
    if (helper->pid == 0)
        become(helper, listen ? ends[1] : STDERR_FILENO);
    if (ends[1] >= 0)
        close(ends[1]);
    if (helper->pid > 0)
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

static int reap(struct helper *helper, bool heard, struct dt_error *err)
{
    int status = 0;
    if (!heard)
        kill(helper->pid, SIGKILL);
    while (waitpid(helper->pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (!heard)
        return dt_error_set(err, "%s gave no answer in %.0f s, or one that is too long",
                            helper->path, HELPER_SECONDS);
    if (WIFSIGNALED(status))
        return dt_error_set(err, "%s was killed by signal %d", helper->path, WTERMSIG(status));
    if (WEXITSTATUS(status) > 2) /* 1 and 2: it found harmful variables */
        return dt_error_set(err, "%s ended with code %d", helper->path, WEXITSTATUS(status));
    return 0;
}

static int ask(const char *path, int local_rank, bool speaks, struct dt_buf *answer,
               struct dt_error *err)
{
    char rank[16];
    char *argv[] = {(char *)"dt-env",
                    (char *)"print",
                    (char *)"--format",
                    (char *)"shell0",
                    (char *)"--local-rank",
                    rank,
                    NULL};
    snprintf(rank, sizeof rank, "%d", local_rank);
    struct helper helper = {.path = path, .argv = argv, .speaks = speaks};
    if (start(&helper, true, err))
        return -1;
    bool heard = read_all(helper.from, answer, dt_now() + HELPER_SECONDS) == 0;
    close(helper.from);
    return reap(&helper, heard, err);
}

/* The table, on standard error. */
static int explain(const char *path, struct dt_error *err)
{
    char *argv[] = {(char *)"dt-env", (char *)"explain", NULL};
    struct helper helper = {.path = path, .argv = argv, .speaks = true};
    return start(&helper, false, err) ? -1 : reap(&helper, true, err);
}

int dt_injection_find(struct dt_injection *injection, enum dt_env_mode mode, int local_rank,
                      bool speaks)
{
    struct dt_error err = {""};
    struct dt_buf answer = DT_BUF_INIT;
    *injection = (struct dt_injection){0};
    if (mode == DT_ENV_MODE_OFF || getenv("DT_ENV_APPLIED"))
        return 0; /* the plugin has done it */
    char *path = find_helper();
    int result = -1;
    if (!path) {
        dt_error_set(&err, "--env: dt-env is neither beside dt-launch nor in ../libexec/dt, so no "
                           "variable is set by rules");
    } else if ((mode == DT_ENV_MODE_EXPLAIN && speaks && explain(path, &err)) ||
               ask(path, local_rank, speaks, &answer, &err)) {
        dt_error_prefix(&err, "--env: no variable is set by rules");
    } else {
        result = 0;
    }
    free(path);
    if (result == 0) {
        injection->asked = true;
        injection->length = answer.len;
        injection->text = dt_buf_take(&answer);
        return injection->text ? 0 : -1;
    }
    dt_buf_fini(&answer);
    if (speaks)
        dprintf(STDERR_FILENO, "dt-launch: warning: %s\n", err.text);
    return 0;
}

void dt_injection_fini(struct dt_injection *injection)
{
    free(injection->text);
    *injection = (struct dt_injection){0};
}

/* "NAME=VALUE" is set, "NAME" is taken away. */
static void apply_one(struct dt_environ *env, const char *item, struct dt_buf *names)
{
    const char *equals = strchr(item, '=');
    struct dt_buf name = DT_BUF_INIT;
    dt_buf_append(&name, item, equals ? (size_t)(equals - item) : strlen(item));
    char *text = dt_buf_take(&name);
    if (!text || !*text) {
        env->failed = env->failed || !text;
        free(text);
        return;
    }
    dt_buf_printf(names, "%s%s%s", names->len ? "," : "", equals ? "" : "-", text);
    if (equals) {
        dt_environ_set(env, text, "%s", equals + 1);
    } else {
        dt_environ_unset(env, text);
    }
    free(text);
}

void dt_injection_apply(struct dt_environ *env, const struct dt_injection *injection)
{
    struct dt_buf names = DT_BUF_INIT;
    if (!injection->asked)
        return;
    for (size_t at = 0; at < injection->length; at += strlen(injection->text + at) + 1)
        apply_one(env, injection->text + at, &names);
    char *list = dt_buf_take(&names);
    env->failed = env->failed || !list;
    dt_environ_set(env, "DT_ENV_APPLIED", "%s", list ? list : "");
    free(list);
}
