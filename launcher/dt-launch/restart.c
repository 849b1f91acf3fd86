/* SPDX-License-Identifier: Apache-2.0 */
/* Deciding about another attempt, waiting until it may begin, and making ready for it. */
#include "cause/restart.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/exitcode.h"
#include "loop.h"

/* Beyond --kill-grace a node has so long (s) to get rid of the processes of the attempt that failed. */
#define EMPTY_S 15.0

void dt_loop_restarts_begin(struct loop *loop)
{
    const struct dt_options *options = loop->job->options;
    loop->restarts = (struct dt_restarts){.began = dt_now()};
    dt_superior_present(loop->job->place, &loop->restarts.done);
    dt_newest_find(&loop->restarts.mark, options->restart_progress);
}

void dt_loop_restarts_end(struct loop *loop)
{
    free(loop->restarts.before);
}

/* Did this attempt get further than those before it? */
static bool progressed(struct loop *loop)
{
    const struct dt_options *options = loop->job->options;
    struct dt_restarts *restarts = &loop->restarts;
    if (options->restart_always)
        return true;
    if (options->restart_progress) {
        struct dt_newest now;
        dt_newest_find(&now, options->restart_progress);
        return now.changed_ns != restarts->mark.changed_ns || now.count != restarts->mark.count;
    }
    long long steps = dt_loop_steps(loop), best = restarts->best_steps;
    if (steps > best)
        restarts->best_steps = steps;
    return steps || best ? steps > best : dt_now() - restarts->began >= DT_RESTART_ALIVE;
}

static void say(const struct loop *loop, enum dt_follow follow, double delay, const char *why)
{
    const struct dt_restarts *restarts = &loop->restarts;
    if (follow == DT_FOLLOW_RESTART && delay > 0)
        dprintf(STDERR_FILENO, "dt-launch: restart %d of %d in %.0f s\n", restarts->done,
                loop->job->options->max_restarts, delay);
    else if (follow == DT_FOLLOW_RESTART)
        dprintf(STDERR_FILENO, "dt-launch: restart %d of %d\n", restarts->done,
                loop->job->options->max_restarts);
    else if (why && *why)
        dprintf(STDERR_FILENO, "dt-launch: no restart: %s\n", why);
}

void dt_loop_tell_driver(const struct loop *loop, enum dt_follow follow,
                         const struct dt_failure *failure)
{
    if (loop->superior)
        dt_superior_tell(
            loop->superior,
            &(struct dt_superior_report){.follow = follow,
                                         .code = loop->code,
                                         .restarts = loop->restarts.done,
                                         .node = dt_session_node(loop->job->session, failure->node),
                                         .sentence = failure->sentence});
}

bool dt_loop_follow(struct loop *loop, const struct dt_failure *first)
{
    struct dt_restarts *restarts = &loop->restarts;
    struct dt_buf why = DT_BUF_INIT;
    if (loop->job->place->shape != DT_SHAPE_FANOUT && loop->job->options->max_restarts > 0)
        return false; /* srun has started the rank, and the driver does so again */
    if (dt_now() - restarts->began >= DT_RESTART_STEADY)
        restarts->in_a_row = 0;
    const struct dt_history history = {.max = loop->job->options->max_restarts,
                                       .done = restarts->done,
                                       .in_a_row = restarts->in_a_row,
                                       .progressed = progressed(loop),
                                       .before = restarts->before};
    enum dt_follow follow = dt_restart_decide(&history, first, &why);
    double delay = dt_restart_delay(&history), now = dt_now();
    if (follow == DT_FOLLOW_REPLACE && history.max > 0 && !loop->superior)
        dt_buf_puts(
            &why, "the node must be replaced, for which there is dt-launch --nodes N --spares S in "
                  "the batch script");
    if (follow == DT_FOLLOW_RESTART) {
        free(restarts->before);
        restarts->before = dt_restart_signature(first);
        restarts->done++;
        restarts->in_a_row++;
        restarts->pending = true;
        restarts->at = now + delay;
        restarts->give_up = now + delay + loop->job->options->kill_grace_s + EMPTY_S;
        dt_session_again(loop->job->session, restarts->done);
        dt_event(loop->job->events, "restart", "number:d delay_s:f cause:s",
                 (long long)restarts->done, delay, dt_event_cause(first));
        dt_metrics_restart(loop->job->metrics, dt_event_cause(first));
    }
    dt_loop_tell_driver(loop, follow, first);
    say(loop, follow, delay, why.data);
    dt_buf_fini(&why);
    return restarts->pending;
}

void dt_loop_restart_cancel(struct loop *loop, const char *why)
{
    if (why)
        dprintf(STDERR_FILENO, "dt-launch: no restart: %s\n", why);
    loop->restarts.pending = false;
    if (dt_session_leads(loop->job->session))
        dt_session_verdict(loop->job->session, loop->code);
}

static bool give_up(struct loop *loop, const char *why)
{
    loop->code = DT_EXIT_HELPER;
    dt_loop_restart_cancel(loop, why);
    return false;
}

bool dt_loop_restart_settled(struct loop *loop)
{
    struct dt_session *session = loop->job->session;
    struct dt_restarts *restarts = &loop->restarts;
    double now = dt_now();
    if (!dt_session_leads(session))
        return restarts->start;
    if (loop->stopping) {
        dt_loop_restart_cancel(loop, NULL);
        return false;
    }
    if (loop->left > 0 || dt_session_unclean(session))
        return give_up(loop,
                       "a node holds processes of the attempt before, and what they have open");
    if (now > restarts->give_up)
        return give_up(loop, dt_session_missing(session)
                                 ? "not all nodes have joined"
                                 : "a node does not tell that its ranks have ended");
    restarts->start =
        now >= restarts->at && dt_session_busy(session) == 0 && dt_session_missing(session) == 0;
    return restarts->start;
}

double dt_loop_restart_next(const struct loop *loop)
{
    double now = dt_now();
    return now < loop->restarts.at ? loop->restarts.at : loop->restarts.give_up;
}

void dt_loop_restart(struct loop *loop)
{
    struct dt_job *job = loop->job;
    struct dt_restarts *restarts = &loop->restarts;
    restarts->pending = restarts->start = false;
    restarts->began = dt_now();
    dt_newest_find(&restarts->mark, job->options->restart_progress);
    dt_session_start(job->session, restarts->done);
}
