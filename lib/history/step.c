/* SPDX-License-Identifier: Apache-2.0 */
/* A step begins, a step ends: what is kept of it. */
#include "history/internal.h"

struct event {
    const struct dt_root *root;
    const struct dt_history_step *step;
    const struct dt_facts *facts;
};

/* What grew before was judged by the validation that let this step begin. While another step runs
 * here, its counters go on from where it began. */
static int begin(struct dt_history *history, const struct dt_history_now *now, void *argument)
{
    const struct event *e = argument;
    long long stepd_start = dt_history_pid_start(e->root, e->step->stepd);
    /* A step that was over sooner than this came to be written. */
    if (stepd_start == 0)
        return 0;
    if (history->end_s >= 0 && history->end_job == e->step->job &&
        history->end_step == e->step->step)
        return 0;
    if (history->running_count == 0) {
        if (history->end_job != e->step->job)
            dt_history_forget_growth(history);
        if (dt_history_take_counters(history, e->facts, now) < 0)
            return -1;
    }
    return dt_history_run(history, e->step, stepd_start, now->wall_s);
}

static bool has_begun(const struct dt_history *history, const struct dt_history_step *step)
{
    for (size_t i = 0; i < history->running_count; i++) {
        if (history->running[i].job == step->job && history->running[i].step == step->step)
            return true;
    }
    return false;
}

/* Steps of one job add up, and so do those that ran side by side. Where nobody tells of beginnings, an
 * end tells that the job is another. */
static int end(struct dt_history *history, const struct dt_history_now *now, void *argument)
{
    const struct event *e = argument;
    if (!has_begun(history, e->step) && history->end_job != e->step->job)
        dt_history_forget_growth(history);
    if (dt_history_add_growth(history, e->facts, now) < 0 ||
        dt_history_take_counters(history, e->facts, now) < 0)
        return -1;
    dt_history_stop(history, e->step);
    history->end_s = now->boot_s;
    history->end_wall_s = now->wall_s;
    history->end_job = e->step->job;
    history->end_step = e->step->step;
    return e->step->lost
               ? dt_history_lose(history, e->step->job, e->step->step, now->wall_s, e->step->lost)
               : 0;
}

int dt_history_begin(const struct dt_root *root, const struct dt_conf *conf,
                     const struct dt_history_step *step, const struct dt_facts *facts,
                     struct dt_error *err)
{
    struct event event = {root, step, facts};
    return dt_history_change(root, conf, begin, &event, NULL, err);
}

int dt_history_end(const struct dt_root *root, const struct dt_conf *conf,
                   const struct dt_history_step *step, const struct dt_facts *facts,
                   struct dt_error *told, struct dt_error *err)
{
    struct event event = {root, step, facts};
    return dt_history_change(root, conf, end, &event, told, err);
}
