/* SPDX-License-Identifier: Apache-2.0 */
/* When the ranks are told to save, how it is seen that they have, and what follows. The lead decides;
 * every node signals its own ranks at the moment that the lead names. */
#include "checkpoint.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/exitcode.h"
#include "loop.h"
#include "requeue.h"

/* For the message to reach all nodes, so that their ranks are signalled together. */
#define AHEAD_S 0.2
/* So long before the limit the ranks are ended, saved or not, for their last words to be written. */
#define LEAVE_S 10.0
#define LOOK_S  0.2 /* at the file and the lines that acknowledge */

int dt_checkpoint_check(const struct dt_options *options, const struct dt_place *place,
                        struct dt_error *err)
{
    if (options->checkpoint.line && place->shape == DT_SHAPE_TASK && place->world_size > 1)
        return dt_error_set(err, "--checkpoint-ack line:... needs one dt-launch a node "
                                 "(--nproc-per-node), for one of them to hear of all ranks: give a "
                                 "file, or exit");
    return 0;
}

/* ---- the time limit ------------------------------------------------------------------------ */

/* In CLOCK_MONOTONIC; 0: not known. A job without a limit has a time far away, or none. */
static double find_end(const struct loop *loop, struct dt_error *err)
{
    long long end;
    struct timespec now;
    if (dt_job_end_time(loop->job->place, &end, err))
        return 0;
    clock_gettime(CLOCK_REALTIME, &now);
    return dt_now() + ((double)end - (double)now.tv_sec - (double)now.tv_nsec / 1e9);
}

static bool speaks(const struct loop *loop)
{
    return dt_session_leads(loop->job->session) && loop->job->place->rank == 0;
}

void dt_checkpoint_begin(struct loop *loop)
{
    const struct dt_checkpoint_options *options = &loop->job->options->checkpoint;
    struct dt_checkpoint *checkpoint = &loop->checkpoint;
    struct dt_error err = {""};
    if (!options->signal || !dt_session_leads(loop->job->session))
        return;
    double end = find_end(loop, &err);
    if (end <= 0) {
        if (speaks(loop))
            dprintf(
                STDERR_FILENO,
                "dt-launch: warning: the time limit is not known, so the job is saved when it is "
                "warned, and not before the limit: %s\n",
                err.text);
        return;
    }
    double left = end - dt_now();
    checkpoint->window = options->window_s < left / 2 ? options->window_s : left / 2;
    checkpoint->fire_at = end - checkpoint->window;
    if (checkpoint->window < options->window_s && speaks(loop))
        dprintf(STDERR_FILENO,
                "dt-launch: %.0f s are left to the job: it is to be saved %.0f s before the end\n",
                left, checkpoint->window);
}

void dt_checkpoint_begin_attempt(struct loop *loop)
{
    struct dt_checkpoint *checkpoint = &loop->checkpoint;
    checkpoint->signal_at = 0;
    checkpoint->signalled = checkpoint->over = false;
}

/* A limit that was changed while the job ran is asked for once more. */
static bool limit_has_moved(struct loop *loop)
{
    struct dt_error err;
    struct dt_checkpoint *checkpoint = &loop->checkpoint;
    double end = getenv("SLURM_JOB_END_TIME") ? 0 : find_end(loop, &err);
    if (end <= 0 || end - checkpoint->window <= checkpoint->fire_at + 5)
        return false;
    checkpoint->fire_at = end - checkpoint->window;
    return true;
}

/* ---- saving -------------------------------------------------------------------------------- */

/* The lead. */
static void begin_saving(struct loop *loop, enum dt_checkpoint_why why)
{
    const struct dt_checkpoint_options *options = &loop->job->options->checkpoint;
    struct dt_checkpoint *checkpoint = &loop->checkpoint;
    double now = dt_now(), window = checkpoint->window > 0 ? checkpoint->window : options->window_s;
    if (checkpoint->signal_at > 0)
        return;
    checkpoint->why = why;
    checkpoint->signal_at = now + (dt_session_connected(loop->job->session) ? AHEAD_S : 0);
    double leave = LEAVE_S < window / 2 ? LEAVE_S : window / 2;
    checkpoint->give_up_at = now + window - leave;
    dt_newest_find(&checkpoint->before, options->file);
    dt_session_broadcast(
        loop->job->session,
        &(struct dt_link_message){.type = DT_LINK_SAVE,
                                  .numbers = {(long long)(checkpoint->signal_at * 1e9)}});
    if (!speaks(loop))
        return;
    if (why == DT_CHECKPOINT_LIMIT)
        dprintf(STDERR_FILENO, "dt-launch: %.0f s before the time limit: SIG%s to all ranks\n",
                window, sigabbrev_np(options->signal));
    else
        dprintf(STDERR_FILENO, "dt-launch: the job was told to end: SIG%s to all ranks\n",
                sigabbrev_np(options->signal));
}

bool dt_checkpoint_warned(struct loop *loop, int number, bool ranks_have_it)
{
    int signal_number = loop->job->options->checkpoint.signal;
    struct dt_checkpoint *checkpoint = &loop->checkpoint;
    if (!signal_number || number != SIGTERM || loop->running == 0 || loop->ending ||
        checkpoint->over)
        return false;
    if (checkpoint->signal_at >
        0) /* told again: by Slurm on each node, or by somebody who insists */
        return !checkpoint->signalled || dt_now_ns() - checkpoint->signal_ns < 1000000000LL;
    if (dt_session_leads(loop->job->session)) {
        begin_saving(loop, DT_CHECKPOINT_WARNED);
    } else {
        dt_session_tell(loop->job->session,
                        &(struct dt_link_message){.type = DT_LINK_WARNED, .numbers = {number}});
    }
    if (ranks_have_it && signal_number == number) {
        checkpoint->signalled = true;
        checkpoint->signal_ns = dt_now_ns();
    } else if (ranks_have_it) { /* and may end of it, which is then no failure */
        loop->stopping = loop->muted = true;
    }
    return true;
}

void dt_checkpoint_hear(struct loop *loop, const struct dt_link_message *message)
{
    struct dt_checkpoint *checkpoint = &loop->checkpoint;
    if (message->type == DT_LINK_SAVE && checkpoint->signal_at <= 0) {
        long long at = message->numbers[0] - dt_session_ahead_ns(loop->job->session);
        double when = (double)at / 1e9, now = dt_now();
        checkpoint->signal_at = when > now && when < now + 1 ? when : now;
    } else if (message->type == DT_LINK_WARNED && loop->running > 0 && !loop->ending) {
        begin_saving(loop, DT_CHECKPOINT_WARNED);
    } else if (message->type == DT_LINK_SAVED) {
        loop->checkpoint.over = loop->checkpoint.signalled;
    }
}

/* ---- has it been saved? -------------------------------------------------------------------- */

static bool line_was_said(const struct loop *loop)
{
    for (int i = 0; i < loop->job->place->processes; i++) {
        const struct dt_progress *progress = dt_hang_progress(loop->hang, i);
        if (progress && (atomic_load(&progress->out.found_ns) > loop->checkpoint.signal_ns ||
                         atomic_load(&progress->err.found_ns) > loop->checkpoint.signal_ns))
            return true;
    }
    return false;
}

static bool file_was_written(const struct loop *loop)
{
    struct dt_newest now;
    dt_newest_find(&now, loop->job->options->checkpoint.file);
    return now.changed_ns > loop->checkpoint.before.changed_ns;
}

/* By a line of one of our own ranks, or by the file, which the lead alone looks at. */
static bool is_saved(struct loop *loop)
{
    const struct dt_checkpoint_options *options = &loop->job->options->checkpoint;
    if (options->line && line_was_said(loop))
        return true;
    return options->file && dt_session_leads(loop->job->session) && file_was_written(loop);
}

static void end_job(struct loop *loop, bool saved)
{
    const struct dt_checkpoint *checkpoint = &loop->checkpoint;
    const char *name = sigabbrev_np(loop->job->options->checkpoint.signal);
    double took = (double)(dt_now_ns() - checkpoint->signal_ns) / 1e9;
    struct dt_failure failure = {.rank = -1,
                                 .died_ns = dt_now_ns(),
                                 .flags = DT_FAILURE_FINAL,
                                 .status = W_EXITCODE(saved ? DT_EXIT_CHECKPOINTED : 1, 0)};
    dt_event(loop->job->events, "save", "acknowledged:b after_s:f", saved, took);
    int length =
        saved ? asprintf(&failure.sentence,
                         "the job was saved within %.1f s of SIG%s and ends, to be run again", took,
                         name)
              : asprintf(&failure.sentence,
                         "that the job was saved was not confirmed within %.0f s of SIG%s "
                         "(--checkpoint-ack), and its time is over",
                         took, name);
    if (length < 0)
        failure.sentence = NULL;
    loop->checkpoint.over = true;
    loop->muted =
        loop->muted || !speaks(loop); /* of many dt-launch with a rank each, one tells it */
    dt_loop_blame(loop, &failure);
}

/* ---- time ---------------------------------------------------------------------------------- */

static void signal_ranks(struct loop *loop)
{
    loop->checkpoint.signalled = true;
    loop->checkpoint.signal_ns = dt_now_ns();
    dt_loop_kill(loop, loop->job->options->checkpoint.signal);
}

void dt_checkpoint_work(struct loop *loop)
{
    struct dt_checkpoint *checkpoint = &loop->checkpoint;
    bool leads = dt_session_leads(loop->job->session), was_over = checkpoint->over;
    double now = dt_now();
    if (!loop->job->options->checkpoint.signal || loop->ending || loop->running == 0)
        return;
    if (checkpoint->fire_at > 0 && now >= checkpoint->fire_at && checkpoint->signal_at <= 0 &&
        !limit_has_moved(loop))
        begin_saving(loop, DT_CHECKPOINT_LIMIT);
    if (checkpoint->signal_at > 0 && now >= checkpoint->signal_at && !checkpoint->signalled)
        signal_ranks(loop);
    if (!checkpoint->signalled)
        return;
    if (!was_over && is_saved(loop)) {
        checkpoint->over = true;
        if (!leads)
            dt_session_tell(loop->job->session,
                            &(struct dt_link_message){.type = DT_LINK_SAVED,
                                                      .numbers = {loop->job->place->rank}});
    }
    if (leads && checkpoint->over)
        end_job(loop, true);
    else if (leads && now >= checkpoint->give_up_at)
        end_job(loop, false);
}

double dt_checkpoint_next(const struct loop *loop)
{
    const struct dt_checkpoint *checkpoint = &loop->checkpoint;
    if (!loop->job->options->checkpoint.signal || loop->ending || loop->running == 0)
        return 0;
    if (checkpoint->signalled)
        return dt_now() + LOOK_S;
    return checkpoint->signal_at > 0 ? checkpoint->signal_at : checkpoint->fire_at;
}

/* ---- the end ------------------------------------------------------------------------------- */

int dt_checkpoint_code(const struct loop *loop)
{
    return loop->checkpoint.signalled ? DT_EXIT_CHECKPOINTED : 0;
}

/* What ends by itself in the grace that preemption gives, Slurm takes for ended, and does not requeue it.
 * What was cancelled is to stay so. */
static bool is_to_requeue(const struct loop *loop, int code)
{
    if (loop->checkpoint.why == DT_CHECKPOINT_WARNED)
        return dt_job_preempted(loop->job->place);
    return code == DT_EXIT_CHECKPOINTED && loop->job->place->job >= 0;
}

void dt_checkpoint_finish(struct loop *loop, int code)
{
    struct dt_error err = {""};
    const struct dt_place *place = loop->job->place;
    if (!loop->checkpoint.signalled || !speaks(loop))
        return;
    if (!loop->checkpoint.over && code == DT_EXIT_CHECKPOINTED)
        dprintf(STDERR_FILENO,
                "dt-launch: all ranks ended after SIG%s: the job is to be run again\n",
                sigabbrev_np(loop->job->options->checkpoint.signal));
    if (!is_to_requeue(loop, code))
        return;
    if (dt_requeue(place, NULL, &err))
        dprintf(STDERR_FILENO,
                "dt-launch: the job is not requeued (%s): put \"[ $? != 75 ] || scontrol requeue "
                "%lld\" behind srun in the batch script\n",
                err.text, place->job);
    else
        dprintf(STDERR_FILENO, "dt-launch: job %lld is requeued\n", place->job);
}
