/* SPDX-License-Identifier: Apache-2.0 */
/* Trying all rows: in children, each with a directory of its own, so that a check that dies or hangs
 * is the trouble of its row and of no other. Rows are handed out by a counter that they share. */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "selftest/internal.h"

enum {
    CHILDREN_MAX = 16, /* a tree is up to 16 MiB of memory, and a node may be at work */
    ROW_MAX_S = 60,    /* far more than any row takes: for a check that never ends */
    DIRECTORY_MAX = 1024
};

struct child {
    pid_t pid;
    int status;
    char directory[DIRECTORY_MAX + 16];
};

struct shared {
    atomic_size_t next;
    atomic_int owner[]; /* by row: 1 + index of the child that tries it */
};

struct crew {
    char directory[DIRECTORY_MAX];
    struct child children[CHILDREN_MAX];
    size_t count;
    struct shared *shared;
    size_t shared_size;
};

/* ---- children ---- */

static int work(struct dt_selftest *test, const struct dt_selftest_options *options,
                const struct crew *crew, size_t self, FILE *out)
{
    struct dt_error err;
    struct dt_selftest_lab *lab =
        dt_selftest_lab_open(options, crew->children[self].directory, &err);
    if (!lab) {
        fprintf(out, "%s\n", err.text);
        return 1;
    }
    size_t row;
    while ((row = atomic_fetch_add(&crew->shared->next, 1)) < test->row_count) {
        atomic_store(&crew->shared->owner[row], (int)self + 1);
        alarm(ROW_MAX_S);
        dt_selftest_lab_try(lab, test, &test->rows[row]);
        char *text = dt_selftest_row_text(test, row);
        fprintf(out, "%s\n", text ? text : "");
        free(text);
    }
    alarm(0);
    dt_selftest_lab_close(lab);
    return 0;
}

static _Noreturn void be_child(struct dt_selftest *test, const struct dt_selftest_options *options,
                               const struct crew *crew, size_t self, pid_t parent)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    char path[DIRECTORY_MAX + 32];
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        signal(signals[i], SIG_DFL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    snprintf(path, sizeof path, "%s/results", crew->children[self].directory);
    FILE *out = fopen(path, "we");
    int code = out ? work(test, options, crew, self, out) : 1;
    if (out && fclose(out) != 0)
        code = 1;
    _exit(code);
}

/* ---- directories ---- */

static int make_directory(struct crew *crew, const struct dt_selftest_options *options,
                          struct dt_error *err)
{
    /* Memory first: journals of disks are in no hurry with 300,000 small files. */
    const char *const usual[] = {"/dev/shm", getenv("TMPDIR"), "/tmp"};
    const char *const given[] = {options->temporary, NULL, NULL};
    const char *const *places = options->temporary ? given : usual;
    struct statvfs fs;
    errno = ENAMETOOLONG;
    for (size_t i = 0; i < 3; i++) {
        if (!places[i] || !*places[i])
            continue;
        /* The fake NVML is loaded from there. */
        if (statvfs(places[i], &fs) == 0 && fs.f_flag & ST_NOEXEC) {
            errno = EACCES;
            continue;
        }
        int n = snprintf(crew->directory, sizeof crew->directory, "%s/dt-selftest.%d.XXXXXX",
                         places[i], (int)getpid());
        if (n > 0 && (size_t)n < sizeof crew->directory && mkdtemp(crew->directory))
            return 0;
    }
    int problem = errno;
    crew->directory[0] = '\0';
    return dt_error_set(err, "no directory can be made below %s: %s",
                        options->temporary ? options->temporary : "/dev/shm, TMPDIR or /tmp",
                        strerror(problem));
}

static unsigned children_wanted(const struct dt_selftest_options *options, size_t rows)
{
    cpu_set_t *cpus = CPU_ALLOC(4096);
    size_t size = CPU_ALLOC_SIZE(4096);
    unsigned count = options->children;
    if (count == 0 && cpus && sched_getaffinity(0, size, cpus) == 0)
        count = (unsigned)CPU_COUNT_S(size, cpus);
    if (cpus)
        CPU_FREE(cpus);
    count = count == 0 ? 1 : count > CHILDREN_MAX ? CHILDREN_MAX : count;
    return rows < count ? (unsigned)rows : count;
}

/* ---- signals ---- */

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
    stopped = number;
}

struct signals {
    struct sigaction before[3];
};
static const int taken[3] = {SIGINT, SIGTERM, SIGHUP};

static void take_signals(struct signals *signals)
{
    const struct sigaction action = {.sa_handler = on_signal}; /* no SA_RESTART: waiting ends */
    stopped = 0;
    for (size_t i = 0; i < 3; i++)
        sigaction(taken[i], &action, &signals->before[i]);
}

static void give_signals(const struct signals *signals)
{
    for (size_t i = 0; i < 3; i++)
        sigaction(taken[i], &signals->before[i], NULL);
}

/* ---- the crew ---- */

static int start_crew(struct crew *crew, struct dt_selftest *test,
                      const struct dt_selftest_options *options, struct dt_error *err)
{
    unsigned wanted = children_wanted(options, test->row_count);
    pid_t self = getpid();
    crew->shared_size = sizeof *crew->shared + test->row_count * sizeof crew->shared->owner[0];
    crew->shared =
        mmap(NULL, crew->shared_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (crew->shared == MAP_FAILED) {
        crew->shared = NULL;
        return dt_error_set(err, "out of memory");
    }
    fflush(NULL); /* what is buffered is the parent's alone to write */
    for (size_t i = 0; i < wanted; i++) {
        struct child *child = &crew->children[i];
        snprintf(child->directory, sizeof child->directory, "%s/%zu", crew->directory, i);
        if (mkdir(child->directory, 0700) < 0)
            return dt_error_set(err, "making %s failed: %s", child->directory, strerror(errno));
        child->pid = fork();
        if (child->pid == 0)
            be_child(test, options, crew, i, self);
        if (child->pid < 0)
            return dt_error_set(err, "no child can be started: %s", strerror(errno));
        crew->count++;
    }
    return 0;
}

static void wait_for_crew(struct crew *crew, bool kill_them)
{
    for (size_t i = 0; i < crew->count; i++) {
        struct child *child = &crew->children[i];
        if (kill_them)
            kill(child->pid, SIGKILL);
        while (waitpid(child->pid, &child->status, 0) < 0 && errno == EINTR) {
            for (size_t k = i; stopped && k < crew->count; k++)
                kill(crew->children[k].pid, SIGKILL);
        }
    }
}

static void take_results(struct dt_selftest *test, const struct child *child, bool *done,
                         char **complaint)
{
    char path[DIRECTORY_MAX + 32], *line = NULL;
    size_t size = 0;
    snprintf(path, sizeof path, "%s/results", child->directory);
    FILE *file = fopen(path, "re");
    while (file && getline(&line, &size, file) > 0) {
        line[strcspn(line, "\n")] = '\0';
        long row = dt_selftest_take_row(test, line);
        if (row >= 0)
            done[row] = true;
        else if (!*complaint)
            *complaint = strdup(line);
    }
    free(line);
    if (file)
        fclose(file);
}

/* A row that nobody has finished is no pass. */
static int name_unfinished(struct dt_selftest *test, const struct crew *crew, const bool *done,
                           const char *complaint)
{
    int rc = 0;
    for (size_t i = 0; i < test->row_count && rc >= 0; i++) {
        int owner = atomic_load(&crew->shared->owner[i]);
        int status = owner > 0 ? crew->children[owner - 1].status : 0;
        if (done[i])
            continue;
        free(test->rows[i].trouble);
        if (owner > 0 && WIFSIGNALED(status))
            rc = asprintf(&test->rows[i].trouble, "what looks at it died of signal %d (%s)",
                          WTERMSIG(status), strsignal(WTERMSIG(status)));
        else
            rc = asprintf(&test->rows[i].trouble, "it was not tried%s%s", complaint ? ": " : "",
                          complaint ? complaint : "");
    }
    return rc < 0 ? -1 : 0;
}

static int collect(struct dt_selftest *test, const struct crew *crew, struct dt_error *err)
{
    char *complaint = NULL;
    bool *done = calloc(test->row_count + 1, sizeof *done);
    if (!done)
        return dt_error_set(err, "out of memory");
    for (size_t i = 0; i < crew->count; i++)
        take_results(test, &crew->children[i], done, &complaint);
    int rc = name_unfinished(test, crew, done, complaint);
    free(done);
    free(complaint);
    return rc < 0 ? dt_error_set(err, "out of memory") : 0;
}

int dt_selftest_run(struct dt_selftest *test, const struct dt_selftest_options *options,
                    struct dt_error *err)
{
    struct crew crew = {.count = 0};
    struct signals signals;
    if (make_directory(&crew, options, err) < 0)
        return -1;
    take_signals(&signals);
    int rc = start_crew(&crew, test, options, err);
    wait_for_crew(&crew, rc < 0);
    if (rc == 0 && !stopped)
        rc = collect(test, &crew, err);
    if (dt_personality_remove(crew.directory, rc == 0 ? err : NULL) < 0)
        rc = -1;
    if (crew.shared)
        munmap(crew.shared, crew.shared_size);
    give_signals(&signals);
    return rc < 0 ? -1 : stopped != 0;
}
