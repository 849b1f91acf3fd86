/* SPDX-License-Identifier: Apache-2.0 */
/* Asking dt-slurm. */
#include "requeue.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/beside.h"
#include "helper.h"

#define REFUSED 1 /* it has printed why */

/* last_good: REFUSED when the answer may be the reason. */
static int ask(char **argv, int last_good, struct dt_buf *answer, struct dt_error *err)
{
    char *path = dt_beside("dt-slurm");
    if (!path)
        return dt_error_set(err, "dt-slurm is neither beside dt-launch nor in ../libexec/dt");
    struct dt_helper helper = {.path = path, .argv = argv, .env = environ, .last_good = last_good};
    int result = dt_helper_run(&helper, answer, err);
    free(path);
    if (result == 0 && answer->data)
        answer->data[strcspn(answer->data, "\n")] = '\0';
    return result;
}

static bool says_yes(char **argv)
{
    struct dt_buf answer = DT_BUF_INIT;
    struct dt_error err;
    bool yes = ask(argv, 0, &answer, &err) == 0 && answer.data && strcmp(answer.data, "yes") == 0;
    dt_buf_fini(&answer);
    return yes;
}

/* A deed, not a question: what is answered is why it was refused. */
static int demand(char **argv, struct dt_error *err)
{
    struct dt_buf answer = DT_BUF_INIT;
    int result = ask(argv, REFUSED, &answer, err);
    if (result == 0 && answer.data && *answer.data)
        result = dt_error_set(err, "%.300s", answer.data);
    dt_buf_fini(&answer);
    return result;
}

int dt_slurm_drain(const char *nodes, const char *reason, struct dt_error *err)
{
    char *argv[] = {(char *)"dt-slurm", (char *)"drain", (char *)nodes, (char *)reason, NULL};
    return demand(argv, err);
}

int dt_requeue(const struct dt_place *place, const char *exclude, struct dt_error *err)
{
    char job[32];
    char *plain[] = {(char *)"dt-slurm", (char *)"requeue", job, NULL};
    char *without[] = {
        (char *)"dt-slurm", (char *)"requeue", (char *)"--exclude", (char *)exclude, job, NULL};
    if (place->job < 0)
        return dt_error_set(err, "this is no job of Slurm");
    snprintf(job, sizeof job, "%lld", place->job);
    return demand(exclude ? without : plain, err);
}

bool dt_job_preempted(const struct dt_place *place)
{
    char job[32];
    char *argv[] = {(char *)"dt-slurm", (char *)"preempted", job, NULL};
    if (place->job < 0)
        return false;
    snprintf(job, sizeof job, "%lld", place->job);
    return says_yes(argv);
}

enum dt_give_back dt_job_give_back(const struct dt_place *place, bool requeue)
{
    char job[32];
    char *argv[] = {(char *)"dt-slurm", (char *)"give-back",
                    requeue ? (char *)"requeue" : (char *)"end", job, NULL};
    char *helper = dt_beside("dt-slurm");
    bool there = helper && access(helper, X_OK) == 0;
    free(helper);
    if (!there)
        return DT_GIVE_BACK_NEVER;
    snprintf(job, sizeof job, "%lld", place->job);
    return says_yes(argv) ? DT_GIVE_BACK_DONE : DT_GIVE_BACK_WAIT;
}

static int read_time(const char *text, long long *end)
{
    char *rest;
    errno = 0;
    *end = strtoll(text, &rest, 10);
    return errno || rest == text || *rest || *end <= 0 ? -1 : 0;
}

int dt_job_end_time(const struct dt_place *place, long long *end, struct dt_error *err)
{
    const char *variable = getenv("SLURM_JOB_END_TIME");
    char job[32];
    char *argv[] = {(char *)"dt-slurm", (char *)"end-time", job, NULL};
    struct dt_buf answer = DT_BUF_INIT;
    if (variable && *variable)
        return read_time(variable, end) ? dt_error_set(err,
                                                       "SLURM_JOB_END_TIME is \"%.40s\", and not "
                                                       "seconds since 1970",
                                                       variable)
                                        : 0;
    if (place->job < 0)
        return dt_error_set(err, "this is no job of Slurm, and SLURM_JOB_END_TIME is not set");
    snprintf(job, sizeof job, "%lld", place->job);
    int result = ask(argv, REFUSED, &answer, err);
    if (result == 0 && (!answer.data || read_time(answer.data, end)))
        result = dt_error_set(err, "%.300s",
                              answer.data && *answer.data ? answer.data : "dt-slurm said nothing");
    dt_buf_fini(&answer);
    return result;
}

static int ask_list(const char *question, const char *about, struct dt_buf *list,
                    struct dt_error *err)
{
    char *argv[] = {(char *)"dt-slurm", (char *)question, (char *)about, NULL};
    return ask(argv, 0, list, err);
}

int dt_slurm_down(const char *nodes, struct dt_buf *down, struct dt_error *err)
{
    return ask_list("down", nodes, down, err);
}

int dt_slurm_unfit(const char *report, struct dt_buf *unfit, struct dt_error *err)
{
    return ask_list("unfit", report, unfit, err);
}
