/* SPDX-License-Identifier: Apache-2.0 */
/* A node of the cluster: the same command there, as a step or a job of one task, and its answer here.
 * The node needs dt-topo at the same path; nothing else passes between the two. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/exitcode.h"
#include "dt-topo.h"

#define WORDS_MAX 40

struct words {
    char *items[WORDS_MAX + 1];
    size_t count;
    bool failed;
};

static void add(struct words *words, const char *format, const char *value)
{
    char *word = NULL;

    if (words->count == WORDS_MAX || asprintf(&word, format, value) < 0)
        words->failed = true;
    else
        words->items[words->count++] = word;
}

static void add_number(struct words *words, const char *format, size_t value)
{
    char text[24];

    snprintf(text, sizeof(text), "%zu", value);
    add(words, format, text);
}

static void add_given(struct words *words, const char *format, const char *value)
{
    if (value)
        add(words, format, value);
}

static void make_words(struct words *words, const struct options *o, const char *self)
{
    static const char *const formats[] = {"text", "json", "svg", "svg"}; /* PNG is made here */

    /* One task that does not ask for dt's own checks; a node that is taken is waited for no longer
     * than a person would. What the task may use does not matter, as it only looks: so nothing is
     * said of its binding, which not every cluster has, and a job's own steps are no hindrance. */
    add(words, "%s", "srun");
    add(words, "--nodelist=%s", o->node);
    add(words, "%s", "--nodes=1");
    add(words, "%s", "--ntasks=1");
    add(words, "%s", "--overlap");
    add(words, "%s", "--immediate=60");
    add(words, "%s", "--time=2");
    add(words, "%s", "--job-name=dt-topo");
    add(words, "%s", "--quiet");
    add(words, "%s", self);
    if (o->command != COMMAND_DRAW)
        add(words, "%s", o->command == COMMAND_PLAN ? "plan" : "compare");
    add(words, "%s", "--live");
    if (o->ranks)
        add_number(words, "--ranks=%s", o->ranks);
    add_given(words, "--allowed=%s", o->allowed);
    add_given(words, "--gpus=%s", o->gpus);
    add_given(words, "--memory=%s", o->memory);
    add_given(words, "--override=%s", o->override);
    add_given(words, "--config=%s", o->config);
    if (o->explain)
        add(words, "%s", "--explain");
    add(words, "--format=%s", formats[o->format]);
    add_number(words, "--width=%s", o->width);
    add(words, "--color=%s", o->color);
}

static int become_srun(const struct words *words, int out)
{
    /* a step of this shell's job would inherit what its user asked of dt */
    static const char *const own[] = {"DT_VALIDATE", "DT_BIND", "DT_ENV", "SLURM_CPU_BIND"};

    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
        unsetenv(own[i]);
    if (dup2(out, STDOUT_FILENO) < 0)
        return DT_EXIT_HELPER;
    execvp(words->items[0], words->items);
    fprintf(stderr,
            "dt-topo: srun can not be started: %s; a node of the cluster is asked with it\n",
            strerror(errno));
    return DT_EXIT_HELPER;
}

static void read_all(int fd, struct dt_buf *out)
{
    char chunk[16384];
    ssize_t got;

    while ((got = read(fd, chunk, sizeof(chunk))) != 0) {
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            break;
        dt_buf_append(out, chunk, (size_t)got);
    }
}

static int run(const struct words *words, struct dt_buf *out, struct dt_error *err)
{
    int ends[2], status = 0;
    pid_t child;

    if (pipe(ends)) {
        dt_error_set(err, "no pipe to srun: %s", strerror(errno));
        return DT_EXIT_HELPER;
    }
    child = fork();
    if (child == 0) {
        close(ends[0]);
        _exit(become_srun(words, ends[1]));
    }
    close(ends[1]);
    if (child < 0) {
        close(ends[0]);
        dt_error_set(err, "srun can not be started: %s", strerror(errno));
        return DT_EXIT_HELPER;
    }
    read_all(ends[0], out);
    close(ends[0]);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (WIFEXITED(status))
        return WEXITSTATUS(status);
    return DT_EXIT_SIGNAL + (WIFSIGNALED(status) ? WTERMSIG(status) : 0);
}

int node_ask(const struct options *options, struct dt_buf *out, struct dt_error *err)
{
    struct words words = {.count = 0};
    char self[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
    int code = DT_EXIT_HELPER;

    if (len < 0) {
        dt_error_set(err, "the path of dt-topo itself is not known: %s", strerror(errno));
        return DT_EXIT_HELPER;
    }
    self[len] = '\0';
    make_words(&words, options, self);
    if (words.failed)
        dt_error_set(err, "out of memory");
    else
        code = run(&words, out, err);
    if (code && !*err->text)
        dt_error_set(err, "node %s gave no answer: srun ended with exit code %d", options->node,
                     code);
    for (size_t i = 0; i < words.count; i++)
        free(words.items[i]);
    return code;
}
