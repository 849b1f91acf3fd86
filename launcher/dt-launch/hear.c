/* SPDX-License-Identifier: Apache-2.0 */
/* What the session brings to the main loop: failures of other nodes, the lead's word, and what is for others to
 * answer. Who is to blame is decided in decide.c. */
#include <signal.h>
#include <stdio.h>

#include "base/exitcode.h"
#include "streams.h"

static void on_remote_failure(void *argument, struct dt_failure *failure)
{
    struct loop *loop = argument;
    if (loop->restarts.pending && failure->flags & DT_FAILURE_LOST) {
        loop->code = DT_EXIT_HELPER;
        dt_loop_tell_driver(loop, DT_FOLLOW_REPLACE, failure);
        dt_loop_restart_cancel(loop, failure->sentence);
    }
    dt_loop_begin_ending(loop, failure->status);
    dt_loop_keep(loop, failure);
}

static void on_stop(void *argument)
{
    struct loop *loop = argument;
    dt_loop_begin_ending(loop, 0);
    loop->decide_by = 0; /* the lead is there, and decides */
}

static void on_verdict(void *argument, int code)
{
    struct loop *loop = argument;
    dt_loop_begin_ending(loop, 0);
    loop->decided = true;
    loop->restarts.pending = false;
    loop->code = code;
}

static void on_finished(void *argument)
{
    dt_loop_finish(argument);
}

static void on_again(void *argument, int restarts)
{
    struct loop *loop = argument;
    dt_loop_begin_ending(loop, 0);
    loop->decided = loop->restarts.pending = true;
    loop->restarts.done = restarts;
    loop->code = DT_EXIT_HELPER; /* should the lead be lost */
}

static void on_start(void *argument, int restarts)
{
    struct loop *loop = argument;
    loop->restarts.done = restarts;
    loop->restarts.start = loop->restarts.pending;
}

/* The driver has not heard it from the lead, and may be on the lead's node. */
static void tell_driver(struct loop *loop, const struct dt_failure *failure)
{
    struct dt_error err;
    int restarts;
    if (loop->stopping || !dt_superior_present(loop->job->place, &restarts))
        return;
    struct dt_superior *superior = dt_superior_open(loop->job->place, &err);
    if (superior)
        dt_superior_tell(superior,
                         &(struct dt_superior_report){.follow = DT_FOLLOW_REPLACE,
                                                      .code = DT_EXIT_HELPER,
                                                      .restarts = loop->restarts.done,
                                                      .node = loop->job->place->first_node,
                                                      .sentence = failure->sentence});
    loop->superior_lost = !superior;
    dt_superior_close(superior);
}

static void on_lead_lost(void *argument)
{
    struct loop *loop = argument;
    const struct dt_place *place = loop->job->place;
    struct dt_failure failure = {
        .status = SIGKILL, .died_ns = dt_now_ns(), .flags = DT_FAILURE_LOST};
    if (!loop->restarts.pending && (loop->reported || loop->decided))
        return;
    loop->lead_lost = true;
    if (loop->relay)
        dt_relay_close(loop->relay);
    if (asprintf(&failure.sentence,
                 "node %s (0) was lost: its dt-launch was killed, or the node or its network is "
                 "down; this is node %s (%d)",
                 place->first_node ? place->first_node : "0", place->node_name,
                 place->node_rank) < 0)
        failure.sentence = NULL;
    tell_driver(loop, &failure);
    if (loop->restarts.pending)
        dt_loop_restart_cancel(loop, failure.sentence);
    dt_loop_begin_ending(loop, SIGKILL);
    loop->decide_by = dt_now() + DT_DECIDE_S;
    dt_loop_keep(loop, &failure);
}

static void on_who(void *argument, long long query)
{
    const struct loop *loop = argument;
    dt_arrival_answer(loop->job->session, query, loop->job->workers, loop->job->place->processes);
}

static bool on_line(void *argument, const struct dt_link_message *message)
{
    struct loop *loop = argument;
    if (message) {
        dt_streams_take(loop, message);
        return true;
    }
    if (loop->output)
        dt_output_fed(loop->output);
    return !loop->output || !dt_output_full(loop->output);
}

static void on_taken(void *argument, long long bytes)
{
    struct loop *loop = argument;
    if (loop->relay)
        dt_relay_taken(loop->relay, bytes);
}

static void on_heard(void *argument, const struct dt_link_message *message, const char *node)
{
    struct loop *loop = argument;
    dt_arrival_hear(&loop->arrival, message, node);
    dt_hang_hear(loop->hang, message, node);
    dt_checkpoint_hear(loop, message);
}

static void on_told(void *argument, const struct dt_link_message *message)
{
    struct loop *loop = argument;
    dt_hang_told(loop->hang, message);
    dt_checkpoint_hear(loop, message);
}

void dt_loop_hear(struct loop *loop)
{
    const struct dt_session_handler handler = {.argument = loop,
                                               .failed = on_remote_failure,
                                               .stop = on_stop,
                                               .verdict = on_verdict,
                                               .again = on_again,
                                               .start = on_start,
                                               .lead_lost = on_lead_lost,
                                               .who = on_who,
                                               .told = on_told,
                                               .finished = on_finished,
                                               .line = on_line,
                                               .taken = on_taken,
                                               .heard = on_heard};
    dt_session_work(loop->job->session, &handler);
}
