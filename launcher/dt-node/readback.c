/* SPDX-License-Identifier: Apache-2.0 */
/* Reading back. What comes after dt's task_init (another plugin, a TaskProlog, a wrapper) may bind a
 * rank anew, and nothing else would tell. The process lives for the start of the ranks only. */
#include "readback.h"

#include <errno.h>
#include <fcntl.h>
#include <hwloc.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "behind.h"

#define TOTAL_MS  10000
#define SETTLE_MS 100 /* a wrapper such as "env" or a shell has then become the program */
#define FIRST_MS  10
#define LAST_MS   200

struct watched {
    pid_t pid;
    int rank;
    long running_since; /* ms; -1: it does not run its program yet */
    bool done;
};

static long clock_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static bool program_of(pid_t pid, char path[PATH_MAX])
{
    char link[64];
    snprintf(link, sizeof link, "/proc/%d/exe", (int)pid);
    ssize_t n = readlink(link, path, PATH_MAX - 1);
    if (n <= 0)
        return false;
    path[n] = '\0';
    return true;
}

/* A file of /proc/PID; false: the process is gone. */
static bool read_file(pid_t pid, const char *name, struct dt_buf *text)
{
    char path[64], piece[4096];
    ssize_t n;
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    while ((n = read(fd, piece, sizeof piece)) > 0)
        dt_buf_append(text, piece, (size_t)n);
    close(fd);
    return n == 0 && text->len > 0 && !text->failed;
}

/* The value of a variable in an environment block, borrowed. */
static const char *variable(const struct dt_buf *block, const char *name)
{
    size_t len = strlen(name);
    for (size_t at = 0; at < block->len; at += strlen(block->data + at) + 1) {
        if (strncmp(block->data + at, name, len) == 0 && block->data[at + len] == '=')
            return block->data + at + len + 1;
    }
    return NULL;
}

static bool same_list(const char *a, const char *b)
{
    hwloc_bitmap_t x = hwloc_bitmap_alloc(), y = hwloc_bitmap_alloc();
    bool same = x && y && hwloc_bitmap_list_sscanf(x, a) == 0 &&
                hwloc_bitmap_list_sscanf(y, b) == 0 && hwloc_bitmap_isequal(x, y);
    hwloc_bitmap_free(x);
    hwloc_bitmap_free(y);
    return same;
}

/* "Cpus_allowed_list:\t0-7" */
static char *real_cpus(pid_t pid)
{
    struct dt_buf text = DT_BUF_INIT;
    static const char key[] = "\nCpus_allowed_list:";
    char *line = read_file(pid, "status", &text) ? strstr(text.data, key) : NULL, *list = NULL;
    if (line) {
        line += sizeof key - 1;
        line += strspn(line, " \t");
        list = strndup(line, strcspn(line, "\n"));
    }
    dt_buf_fini(&text);
    return list;
}

/* The policy of the first mapping: "7ffd... prefer:0 anon=3 ..."; NULL: this kernel tells none. */
static char *real_policy(pid_t pid)
{
    struct dt_buf text = DT_BUF_INIT;
    char *word = read_file(pid, "numa_maps", &text) ? strchr(text.data, ' ') : NULL, *policy = NULL;
    if (word) {
        size_t len = strcspn(++word, " \n");
        if (strncmp(word, "prefer (many)", 13) == 0)
            len = 13 + strcspn(word + 13, " \n");
        policy = strndup(word, len);
    }
    dt_buf_fini(&text);
    return policy;
}

/* "preferred:0-1" as dt says it, and "prefer (many):0-1" as the kernel does. */
static bool same_policy(const char *told, const char *real)
{
    static const char *const words[][2] = {{"preferred", "prefer"},
                                           {"bind", "bind"},
                                           {"interleave", "interleave"},
                                           {"local", "local"}};
    const char *told_nodes = strchr(told, ':'), *real_nodes = strchr(real, ':');
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strncmp(told, words[i][0], strlen(words[i][0])) != 0)
            continue;
        if (strncmp(real, words[i][1], strlen(words[i][1])) != 0)
            return false;
        return !told_nodes || !real_nodes || same_list(told_nodes + 1, real_nodes + 1) ||
               !strstr(real, "many"); /* an old kernel prefers one node only */
    }
    return true; /* "kept", "default": dt left it alone */
}

/* What differs, in words; nothing when all is as told. */
static void compare(const struct watched *w, struct dt_buf *what)
{
    struct dt_buf block = DT_BUF_INIT;
    char *cpus = real_cpus(w->pid), *policy = real_policy(w->pid);
    if (!cpus || !read_file(w->pid, "environ", &block))
        goto out; /* it has ended */
    const char *told_cpus = variable(&block, "DT_BIND_CPUS");
    const char *told_memory = variable(&block, "DT_BIND_MEMORY");
    if (told_cpus && !same_list(told_cpus, cpus))
        dt_buf_printf(what, "rank %d runs on CPUs %s, and was bound to %s", w->rank, cpus,
                      told_cpus);
    if (policy && told_memory && !same_policy(told_memory, policy))
        dt_buf_printf(what, "%s%s memory policy is %s, and was set to %s",
                      what->len ? "; its" : "the", what->len ? "" : " rank's", policy, told_memory);
out:
    free(cpus);
    free(policy);
    dt_buf_fini(&block);
}

struct readback {
    struct watched *tasks;
    size_t count, differ;
    char launcher[PATH_MAX]; /* slurmstepd: a task that still runs it has not started */
    struct dt_buf first;     /* what differs at the first that does */
};

static void look_at(struct readback *r, struct watched *w, long now)
{
    char path[PATH_MAX];
    struct dt_buf what = DT_BUF_INIT;
    if (!program_of(w->pid, path)) {
        w->done = true;
        return;
    }
    if (w->running_since < 0 && strcmp(path, r->launcher) != 0)
        w->running_since = now;
    if (w->running_since < 0 || now - w->running_since < SETTLE_MS)
        return;
    w->done = true;
    compare(w, &what);
    r->differ += what.len > 0;
    if (what.len > 0 && r->first.len == 0)
        dt_buf_append(&r->first, what.data, what.len);
    dt_buf_fini(&what);
}

static bool all_done(const struct readback *r)
{
    for (size_t i = 0; i < r->count; i++) {
        if (!r->tasks[i].done)
            return false;
    }
    return true;
}

static void tell(const struct readback *r, const char *node)
{
    struct dt_buf line = DT_BUF_INIT;
    dt_buf_printf(&line, "dt:   bind: on %s %s", node, r->first.data);
    if (r->differ > 1)
        dt_buf_printf(&line, "; %zu more ranks there differ", r->differ - 1);
    dt_buf_puts(&line,
                "; something after dt did it: a TaskProlog, another plugin or the program\n");
    if (!line.failed && write(STDERR_FILENO, line.data, line.len) < 0)
        line.failed = true; /* nobody listens any more */
    dt_buf_fini(&line);
}

static void watch(struct readback *r, const char *node)
{
    long end = clock_ms() + TOTAL_MS, pause = FIRST_MS;
    while (!all_done(r) && clock_ms() < end) {
        struct timespec wait = {.tv_nsec = pause * 1000000};
        nanosleep(&wait, NULL);
        pause = pause * 3 / 2 > LAST_MS ? LAST_MS : pause * 3 / 2;
        for (size_t i = 0; i < r->count; i++) {
            if (!r->tasks[i].done)
                look_at(r, &r->tasks[i], clock_ms());
        }
    }
    if (r->differ)
        tell(r, node);
}

void readback_start(const pid_t *pids, const int *ranks, size_t count, const char *node)
{
    struct readback r = {.count = count, .first = DT_BUF_INIT};
    r.tasks = calloc(count, sizeof *r.tasks);
    if (!r.tasks || !program_of(getppid(), r.launcher))
        goto out;
    for (size_t i = 0; i < count; i++)
        r.tasks[i] = (struct watched){pids[i], ranks[i], -1, pids[i] <= 0};
    if (!all_done(&r) && behind_fork(true)) {
        watch(&r, node);
        _exit(0);
    }
out:
    free(r.tasks);
}
