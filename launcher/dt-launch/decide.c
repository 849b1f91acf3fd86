/* SPDX-License-Identifier: Apache-2.0 */
/* Whose fault it was. A rank that fails ends the job at once; who is named is decided a little later,
 * when all ranks have ended and had their say, and by the lead alone, for the whole job. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/exitcode.h"
#include "streams.h"

/* When Slurm ends a step, a rank may die a moment before dt-launch itself gets the stop signal, or
 * is killed. So that the victims do not speak, the sentence waits so long (s): for deaths that look
 * like Slurm's doing, and for all others. */
#define HUSH_STOP  0.25
#define HUSH_OTHER 0.02
/* After a stop signal the ranks may be saving; a rank that ends badly then gives the others so
 * long. */
#define STOP_GRACE 30.0
/* A rank that let its gate go longer ago than this did not begin to end then: it closed it. */
#define TEARDOWN_NS 60000000000LL
/* A member that is not told the verdict within this time names its own first failure. */
#define VERDICT_S 3.0
/* After a failure a node that has not joined yet gets so long to be told, so that it does not wait for us. */
#define LINGER_S 2.0
/* A member's last folded lines have so long to reach the lead before it says that its ranks have ended; we look so
 * often (s). */
#define TOLD_S 1.0
#define LOOK_S 0.01
/* A node whose dt-launch never came does not hold the others up longer than this at the end. */
#define MISSING_S 10.0

/* ---- failures ------------------------------------------------------------------------------ */

/* Did a stop signal end it, by its default action or as shells and programs report one? */
static bool looks_stopped(int status)
{
    int number = dt_status_code(status) - DT_EXIT_SIGNAL;
    return dt_is_stop(number) || number == SIGKILL;
}

void dt_loop_keep(struct loop *loop, struct dt_failure *failure)
{
    struct dt_failure *failures =
        reallocarray(loop->failures, loop->failure_count + 1, sizeof *failures);
    if (!failures) {
        dt_failure_fini(failure);
        return;
    }
    loop->failures = failures;
    failures[loop->failure_count++] = *failure;
    dt_event_failure(loop->job->events, failure, false);
}

void dt_loop_begin_ending(struct loop *loop, int status)
{
    double now = dt_now();
    if (loop->ending)
        return;
    loop->ending = true;
    loop->muted = loop->muted || loop->stopping;
    loop->deadline = loop->stopping ? now + STOP_GRACE : now;
    loop->decide_by = now + (dt_session_leads(loop->job->session) ? DT_DECIDE_S : VERDICT_S);
    loop->quiet_until = now;
    if (loop->job->place->in_step)
        loop->quiet_until += looks_stopped(status) ? HUSH_STOP : HUSH_OTHER;
    dt_session_stop(loop->job->session);
}

void dt_loop_on_failure(struct loop *loop, const struct dt_worker *worker, long long died_ns)
{
    if (!loop->first_dead)
        loop->first_dead = worker;
    const struct dt_ending_context context = {.place = loop->job->place,
                                              .argv = loop->job->options->program,
                                              .output = loop->output,
                                              .oom_kills = loop->oom_kills,
                                              .kernel_log = &loop->kernel_log,
                                              .extras = &loop->job->options->extras};
    long long left_ns = dt_gate_left(worker->gate);
    bool left_early = left_ns > 0 && died_ns - left_ns < TEARDOWN_NS;
    struct dt_failure failure = {.died_ns = left_early && left_ns < died_ns ? left_ns : died_ns};
    if (loop->termed && !(left_early && left_ns <= loop->termed_ns))
        failure.flags = DT_FAILURE_STOPPED;
    dt_loop_begin_ending(loop, worker->status);
    if (loop->deadline > 0 && !loop->termed && !loop->stopping) { /* before its words are awaited */
        dt_loop_terminate(loop);
    }
    dt_ending_describe(&failure, worker, &context);
    if (!dt_session_leads(loop->job->session))
        dt_session_report(loop->job->session, &failure);
    dt_loop_keep(loop, &failure);
}

void dt_loop_blame(struct loop *loop, struct dt_failure *failure)
{
    dt_loop_begin_ending(loop, failure->status);
    if (!dt_session_leads(loop->job->session))
        dt_session_report(loop->job->session, failure);
    dt_loop_keep(loop, failure);
}

/* Ranks that can not be started here: the others need not try again. */
void dt_loop_refuse(struct loop *loop, int code, const struct dt_error *err)
{
    const struct dt_place *place = loop->job->place;
    struct dt_failure failure = {.rank = place->rank,
                                 .node = place->node_rank,
                                 .status = W_EXITCODE(code, 0),
                                 .died_ns = dt_now_ns(),
                                 .flags = DT_FAILURE_FINAL};
    if (asprintf(&failure.sentence, "%s (node %s)", err->text, place->node_name) < 0)
        failure.sentence = NULL;
    dt_loop_blame(loop, &failure);
    dt_loop_kill(loop, SIGKILL);
}

void dt_loop_give_up(struct loop *loop, const struct dt_worker *worker, const char *how)
{
    const struct dt_ending_context context = {.place = loop->job->place,
                                              .argv = loop->job->options->program,
                                              .output = loop->output,
                                              .oom_kills = loop->oom_kills,
                                              .kernel_log = &loop->kernel_log,
                                              .extras = &loop->job->options->extras,
                                              .how = how};
    struct dt_failure failure = {.died_ns = dt_now_ns()};
    struct dt_worker as_failed = *worker;
    as_failed.status = W_EXITCODE(1, 0); /* as an exception would have ended it */
    as_failed.lived = dt_now() - worker->started;
    dt_ending_describe(&failure, &as_failed, &context);
    dt_loop_blame(loop, &failure);
}

void dt_loop_finish(struct loop *loop)
{
    struct dt_session *session = loop->job->session;
    if (loop->ending)
        return;
    dt_loop_begin_ending(loop, 0);
    loop->decided = loop->muted = true;
    loop->code = 0;
    if (dt_session_leads(session))
        dt_session_verdict(session, 0);
    else
        dt_session_tell(session, &(struct dt_link_message){.type = DT_LINK_FINISHED});
}

/* ---- deciding ------------------------------------------------------------------------------ */

static void put_indented(struct dt_buf *text, const char *words)
{
    for (const char *at = words; *at;) {
        size_t len = strcspn(at, "\n");
        dt_buf_puts(text, "  | ");
        dt_buf_append(text, at, len);
        dt_buf_puts(text, "\n");
        at += len + (at[len] == '\n');
    }
}

/* " (7 more failed after it, 5 of them with the same last words)" */
static void put_others(const struct loop *loop, const struct dt_failure *first, struct dt_buf *text)
{
    size_t others = 0, alike = 0;
    for (size_t i = 0; i < loop->failure_count; i++) {
        const struct dt_failure *other = &loop->failures[i];
        bool same = first->details && *first->details && other->details &&
                    strcmp(other->details, first->details) == 0;
        /* one that says the same was not stopped: it had failed when it was to be */
        if (other == first || (other->flags & DT_FAILURE_STOPPED && !same))
            continue;
        others++;
        alike += same;
    }
    if (others)
        dt_buf_printf(text, " (%zu more failed after it", others);
    if (alike && alike == others)
        dt_buf_puts(text, ", with the same last words");
    else if (alike)
        dt_buf_printf(text, ", %zu of them with the same last words", alike);
    dt_buf_puts(text, others ? ")\n" : "\n");
}

static void say(const struct loop *loop, const struct dt_failure *first)
{
    struct dt_buf text = DT_BUF_INIT;
    dt_buf_printf(&text, "dt-launch: %s", first->sentence ? first->sentence : "a rank failed");
    put_others(loop, first, &text);
    if (first->details && *first->details) {
        dt_buf_puts(&text, "  | its last words:\n");
        put_indented(&text, first->details);
    }
    char *all = dt_buf_take(&text);
    if (all && write(STDERR_FILENO, all, strlen(all)) < 0)
        errno = 0; /* nobody reads us: the exit code still tells */
    free(all);
}

/* srun returns the highest code of all tasks, so a rank that Slurm stopped must not outbid the one
 * that failed: it gives the lowest code that is no success. */
static int code_of(const struct loop *loop, const struct dt_failure *first)
{
    if (loop->job->place->in_step && loop->stopping && looks_stopped(first->status))
        return 1;
    return first->flags & DT_FAILURE_LOST ? DT_EXIT_HELPER : dt_status_code(first->status);
}

static void decide(struct loop *loop)
{
    int index = dt_cause_first(loop->failures, loop->failure_count);
    const struct dt_failure *first = index < 0 ? NULL : &loop->failures[index];
    const char *error_file = getenv("TORCHELASTIC_ERROR_FILE");
    loop->decided = true;
    loop->code = first ? code_of(loop, first) : 0;
    if (first && !loop->muted) {
        say(loop, first);
        dt_event_failure(loop->job->events, first, true);
        dt_metrics_failure(loop->job->metrics, first,
                           dt_session_node(loop->job->session, first->node));
        if (dt_session_leads(loop->job->session) && dt_loop_follow(loop, first))
            return;
        if (error_file && *error_file && loop->job->place->shape == DT_SHAPE_FANOUT)
            dt_error_file_write(error_file, first);
    }
    if (dt_session_leads(loop->job->session))
        dt_session_verdict(loop->job->session, loop->code);
}

static bool may_decide(const struct loop *loop)
{
    double now = dt_now();
    if (!loop->ending || loop->decided || loop->failure_count == 0 ||
        (now < loop->quiet_until && !loop->muted))
        return false;
    if (loop->decide_by > 0 && now >= loop->decide_by)
        return true;
    bool alone = dt_session_leads(loop->job->session) || loop->lead_lost;
    return alone && loop->running == 0 && dt_session_busy(loop->job->session) == 0;
}

double dt_loop_next_decision(const struct loop *loop)
{
    double now = dt_now();
    if (loop->running == 0 && !loop->reported && !dt_streams_told(loop))
        return now + LOOK_S;
    if (loop->restarts.pending)
        return dt_loop_restart_next(loop);
    if (loop->running == 0 && loop->ended_at > 0 && dt_session_missing(loop->job->session) > 0)
        return loop->ended_at + (loop->ending ? LINGER_S : MISSING_S);
    if (!loop->ending || loop->decided)
        return 0;
    return now < loop->quiet_until ? loop->quiet_until : loop->decide_by;
}

/* A member's ranks have ended: the lead wants to know, and has the last word if one failed. */
static bool member_settled(struct loop *loop)
{
    if (!loop->reported && !dt_streams_told(loop) && dt_now() < loop->ended_at + TOLD_S)
        return false;
    if (!loop->reported && !loop->lead_lost) {
        loop->reported = true;
        dt_session_done(loop->job->session, loop->ending ? 1 : 0, loop->left);
        loop->decide_by = dt_now() + VERDICT_S;
    }
    if (loop->restarts.pending)
        return dt_loop_restart_settled(loop);
    if (loop->ending && !loop->decided && loop->failure_count == 0 && dt_now() >= loop->decide_by)
        return true;
    return !loop->ending || loop->decided;
}

static bool lead_settled(struct loop *loop)
{
    int missing = dt_session_missing(loop->job->session);
    if (loop->restarts.pending && dt_loop_restart_settled(loop))
        return true;
    if (loop->ending)
        return loop->decided && !loop->restarts.pending &&
               dt_session_connected(loop->job->session) == 0 &&
               (missing == 0 || dt_now() >= loop->ended_at + LINGER_S);
    if (dt_session_busy(loop->job->session) > 0)
        return false;
    if (missing == 0)
        return true;
    if (dt_now() < loop->ended_at + MISSING_S)
        return false;
    dprintf(
        STDERR_FILENO,
        "dt-launch: %d of %d nodes never joined node 0: was dt-launch started on all of them?\n",
        missing, loop->job->place->node_count);
    loop->decided = true;
    loop->code = DT_EXIT_HELPER;
    return true;
}

bool dt_loop_settled(struct loop *loop)
{
    if (loop->running == 0)
        dt_loop_empty(loop);
    if (may_decide(loop))
        decide(loop);
    if (loop->running > 0)
        return false;
    if (loop->keeper_lost)
        return true;
    if (loop->ended_at <= 0)
        loop->ended_at = dt_now();
    if (!dt_session_leads(loop->job->session))
        return member_settled(loop);
    /* Members leave before their lead, but not all may be able to. */
    return lead_settled(loop) ||
           (loop->decided && !loop->restarts.pending &&
            dt_now() > loop->ended_at + loop->job->options->kill_grace_s + VERDICT_S);
}

int dt_loop_exit_code(const struct loop *loop)
{
    return loop->decided ? loop->code : loop->ending ? 1 : dt_checkpoint_code(loop);
}
