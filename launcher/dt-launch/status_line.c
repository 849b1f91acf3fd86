/* SPDX-License-Identifier: Apache-2.0 */
/* See status_line.h. Steps are those that this node's ranks tell of: all ranks of a job are at the same. */
#include "status_line.h"

#include <stdio.h>
#include <unistd.h>

static bool wanted(const struct loop *loop)
{
    return loop->job->options->progress_s > 0 && dt_session_leads(loop->job->session) &&
           loop->job->place->rank == 0 && loop->output;
}

double dt_status_next(const struct loop *loop)
{
    return wanted(loop) && loop->running > 0 ? loop->status.next : 0;
}

static void put_time(struct dt_buf *text, double seconds)
{
    long long s = (long long)seconds;
    dt_buf_printf(text, "%lld:%02lld:%02lld", s / 3600, s / 60 % 60, s % 60);
}

/* Steps a second since the line before; nothing where none was made. */
static void put_steps(struct dt_buf *text, struct loop *loop, double now)
{
    long long steps = dt_loop_steps(loop);
    double rate =
        loop->status.at > 0 ? (double)(steps - loop->status.steps) / (now - loop->status.at) : 0;
    if (steps > 0)
        dt_buf_printf(text, ", step %lld", steps);
    if (steps > 0 && rate > 0)
        dt_buf_printf(text, rate >= 1 ? ", %.1f steps/s" : ", %.1f s a step",
                      rate >= 1 ? rate : 1 / rate);
    loop->status.steps = steps;
    loop->status.at = now;
}

void dt_status_begin(struct loop *loop)
{
    double now = dt_now();
    loop->status.began = loop->status.at = now;
    loop->status.next = now + loop->job->options->progress_s;
    loop->status.steps = 0;
}

void dt_status_work(struct loop *loop)
{
    const struct dt_place *place = loop->job->place;
    double now = dt_now();
    if (!wanted(loop) || loop->running == 0 || now < loop->status.next)
        return;
    loop->status.next = now + loop->job->options->progress_s;
    struct dt_buf text = DT_BUF_INIT;
    dt_buf_puts(&text, "dt-launch: ");
    put_time(&text, now - loop->status.began);
    dt_buf_printf(&text, ", %d rank%s on %d node%s", place->world_size,
                  place->world_size == 1 ? "" : "s", place->node_count,
                  place->node_count == 1 ? "" : "s");
    put_steps(&text, loop, now);
    if (!text.failed)
        dt_output_status(loop->output, text.data);
    dt_buf_fini(&text);
}
