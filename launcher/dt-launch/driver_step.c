/* SPDX-License-Identifier: Apache-2.0 */
/* One step: the command line and environment of its srun. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/exitcode.h"
#include "driver.h"
#include "environ.h"

#define OWN_WORDS 16

struct words {
    char **items; /* owned, and NULL-terminated */
    size_t count;
    bool failed;
};

static void add(struct words *words, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(struct words *words, const char *format, ...)
{
    va_list args;
    char *word = NULL;
    va_start(args, format);
    if (vasprintf(&word, format, args) < 0)
        word = NULL;
    va_end(args);
    words->failed = words->failed || !word;
    if (word)
        words->items[words->count++] = word;
}

static void words_fini(struct words *words)
{
    for (size_t i = 0; i < words->count; i++)
        free(words->items[i]);
    free(words->items);
}

/* Tasks on each node: as many as the batch script has asked for where they are the ranks. */
static int tasks_per_node(const struct dt_step *step)
{
    const char *asked = getenv("SLURM_NTASKS_PER_NODE");
    int tasks = step->options->per_task && step->driver && asked ? atoi(asked) : 1;
    return tasks > 1 ? tasks : 1;
}

/* Each agent ends by itself and with the job's exit code, so srun shall neither end the step at the first
 * nor lose patience with the last; ranks that it has started itself it ends at the first that fails. --overlap: a step
 * that hangs on a dead node must not hold up the next. */
static int build(struct words *words, const struct dt_step *step)
{
    size_t own = 0;
    int tasks = tasks_per_node(step);
    while (step->argv[own])
        own++;
    words->items = calloc(OWN_WORDS + DT_SRUN_WORDS + own + 1, sizeof *words->items);
    char *list = dt_hostlist_compress(step->nodes, (size_t)step->node_count);
    if (!words->items || !list) {
        free(list);
        return -1;
    }
    add(words, "srun");
    add(words, "--nodes=%d", step->node_count);
    add(words, "--ntasks=%d", step->node_count * tasks);
    add(words, "--ntasks-per-node=%d", tasks);
    add(words, "--nodelist=%s", list);
    add(words, "--overlap");
    add(words, "--wait=0");
    free(list);
    if (step->driver)
        add(words, "--kill-on-bad-exit=%d", step->options->per_task);
    if (step->driver && step->hyperpod)
        add(words, "--auto-resume=1");
    if (!step->driver) {
        add(words, "true");
        return words->failed ? -1 : 0;
    }
    for (int i = 0; i < step->options->driver.srun_count; i++)
        add(words, "%s", step->options->driver.srun[i]);
    for (size_t i = 0; i < own; i++)
        add(words, "%s", step->argv[i]);
    return words->failed ? -1 : 0;
}

static void __attribute__((noreturn))
become(const struct words *words, const struct dt_environ *env, pid_t parent)
{
    sigset_t none;
    sigemptyset(&none);
    /* A driver that is killed takes the step with it: srun ends it when it gets this. */
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        _exit(DT_EXIT_HELPER);
    sigprocmask(SIG_SETMASK, &none, NULL);
    environ = env->items;
    execvp("srun", words->items);
    _exit(errno == ENOENT ? DT_EXIT_NOT_FOUND : DT_EXIT_NOT_EXECUTABLE);
}

int dt_step_start(const struct dt_step *step, struct dt_error *err)
{
    struct words words = {0};
    struct dt_environ env;
    pid_t parent = getpid(), pid = -1;
    dt_environ_init(&env, environ);
    if (step->driver)
        dt_environ_set(&env, "SLURM_LAUNCH_DRIVER", "%s", step->driver);
    if (step->report)
        dt_environ_set(&env, "DT_REPORT", "%s", step->report);
    if (build(&words, step) || env.failed) {
        dt_error_set(err, "out of memory");
    } else {
        pid = fork();
        if (pid == 0)
            become(&words, &env, parent);
        if (pid < 0)
            dt_error_set(err, "srun can not be started: fork: %s", strerror(errno));
    }
    words_fini(&words);
    dt_environ_fini(&env);
    return pid;
}
