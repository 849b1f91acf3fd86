/* SPDX-License-Identifier: Apache-2.0 */
/* Steps that begin, end, or are found to be lost. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "history/internal.h"

long long dt_history_pid_start(const struct dt_root *root, long long pid)
{
    char text[1024];
    unsigned long long start;
    if (pid <= 0 || dt_root_read(root, text, sizeof text, "proc/%lld/stat", pid) <= 0)
        return 0;
    /* the name, in parentheses, may hold anything */
    const char *rest = strrchr(text, ')');
    for (int field = 2; rest && field < 22; field++) {
        rest = strchr(rest, ' ');
        rest += rest != NULL;
    }
    return rest && sscanf(rest, "%llu", &start) == 1 && start < 1ULL << 62 ? (long long)start : 0;
}

static void drop_first(struct dt_history_job *jobs, size_t *count)
{
    free(jobs[0].reason);
    memmove(jobs, jobs + 1, --*count * sizeof *jobs);
}

/* A job of several steps, or of the same crash, is lost once. */
static bool is_lost(const struct dt_history *history, long long job)
{
    for (size_t i = 0; i < history->lost_count; i++) {
        if (history->lost[i].job == job)
            return true;
    }
    return false;
}

int dt_history_lose(struct dt_history *history, long long job, long long step, long long wall_s,
                    const char *reason)
{
    if (is_lost(history, job))
        return 0;
    char *copy = strndup(reason, DT_HISTORY_REASON_MAX);
    struct dt_history_job *lost = copy ? DT_HISTORY_ADD(history->lost, history->lost_count) : NULL;
    if (!lost) {
        free(copy);
        return -1;
    }
    for (char *c = copy; *c; c++) {
        if (*c < ' ' || *c > '~')
            *c = '?';
    }
    *lost = (struct dt_history_job){.job = job, .step = step, .wall_s = wall_s, .reason = copy};
    if (history->lost_count > DT_HISTORY_LOST_MAX)
        drop_first(history->lost, &history->lost_count);
    return 0;
}

int dt_history_run(struct dt_history *history, const struct dt_history_step *step,
                   long long pid_start, long long wall_s)
{
    dt_history_stop(history, step);
    struct dt_history_job *running = DT_HISTORY_ADD(history->running, history->running_count);
    if (!running)
        return -1;
    *running = (struct dt_history_job){.job = step->job,
                                       .step = step->step,
                                       .wall_s = wall_s,
                                       .pid = step->stepd,
                                       .pid_start = pid_start};
    if (history->running_count > DT_HISTORY_RUNNING_MAX)
        drop_first(history->running, &history->running_count);
    return 0;
}

void dt_history_stop(struct dt_history *history, const struct dt_history_step *step)
{
    size_t kept = 0;
    for (size_t i = 0; i < history->running_count; i++) {
        if (history->running[i].job != step->job || history->running[i].step != step->step)
            history->running[kept++] = history->running[i];
    }
    history->running_count = kept;
}

/* Their slurmstepd was killed by somebody: that says nothing of the node. */
static void forget_gone(struct dt_history *history, const struct dt_root *root)
{
    size_t kept = 0;
    for (size_t i = 0; i < history->running_count; i++) {
        const struct dt_history_job *job = &history->running[i];
        if (job->pid > 0 && dt_history_pid_start(root, job->pid) == job->pid_start)
            history->running[kept++] = *job;
    }
    history->running_count = kept;
}

static int take_boot(struct dt_history *history, const char *boot)
{
    free(history->boot);
    history->boot = strdup(boot);
    return history->boot ? 0 : -1;
}

int dt_history_settle(struct dt_history *history, const struct dt_root *root,
                      const struct dt_history_now *now)
{
    if (strcmp(history->boot, now->boot) == 0) {
        forget_gone(history, root);
        return 0;
    }
    long long booted = now->wall_s > now->boot_s ? now->wall_s - now->boot_s : 0;
    for (size_t i = 0; i < history->running_count; i++) {
        const struct dt_history_job *job = &history->running[i];
        if (dt_history_lose(history, job->job, job->step, booted, "the node went down under it") <
            0)
            return -1;
    }
    history->running_count = 0;
    history->end_s = -1;
    dt_history_forget_counters(history);
    dt_history_forget_growth(history);
    return take_boot(history, now->boot);
}
