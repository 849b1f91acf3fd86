/* SPDX-License-Identifier: Apache-2.0 */
/* Making the text of the metrics, and when; see metrics.h. Labels are numbers of jobs, nodes and local ranks, so
 * that their number is bounded. */
#include "metrics.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/whole.h"
#include "loop.h"

#define CAUSES   6
#define EVERY_S  10.0
#define COUNT(a) (sizeof(a) / sizeof *(a))

/* How far a rank was when the file was written last. */
struct rank {
    long long step, step_ns;
    double seconds; /* that a step takes; 0: not known */
};

struct dt_metrics {
    const struct dt_place *place;
    char *path;
    bool told; /* that it can not be written */
    double next;
    struct {
        const char *cause;
        int count;
    } restarts[CAUSES];
    struct dt_buf first; /* the metric of the newest first failure, whole */
    struct rank *ranks;  /* one for each process */
};

static double wall(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- text ---------------------------------------------------------------------------------- */

static void head(struct dt_buf *text, const char *name, const char *type, const char *help)
{
    dt_buf_printf(text, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put_name(struct dt_buf *text, const char *name, const struct dt_place *place)
{
    dt_buf_printf(text, "%s{slurm_job_id=\"", name);
    if (place->job >= 0)
        dt_buf_printf(text, "%lld", place->job);
    dt_buf_puts(text, "\"");
}

static void put_job(const struct dt_metrics *metrics, bool up, struct dt_buf *text)
{
    const struct dt_place *place = metrics->place;
    head(text, "dt_launch_up", "gauge", "Whether the job's dt-launch runs.");
    put_name(text, "dt_launch_up", place);
    dt_buf_printf(text, ",node_rank=\"%d\"} %d\n", place->node_rank, up);
    head(text, "dt_launch_world_size", "gauge", "Ranks of the job.");
    put_name(text, "dt_launch_world_size", place);
    dt_buf_printf(text, "} %d\n", place->world_size);
    head(text, "dt_launch_restarts_total", "counter", "Restarts of all ranks, by cause.");
    for (size_t i = 0; i < COUNT(metrics->restarts) && metrics->restarts[i].cause; i++) {
        put_name(text, "dt_launch_restarts_total", place);
        dt_buf_printf(text, ",reason=\"%s\"} %d\n", metrics->restarts[i].cause,
                      metrics->restarts[i].count);
    }
    if (metrics->first.len) {
        head(text, "dt_launch_first_failure", "gauge", "The rank that failed first, and why.");
        dt_buf_puts(text, metrics->first.data);
    }
    head(text, "dt_launch_timestamp_seconds", "gauge", "When this file was written.");
    put_name(text, "dt_launch_timestamp_seconds", place);
    dt_buf_printf(text, "} %.3f\n", wall());
}

/* A metric of those ranks that have a value. */
static void put_ranks(const struct dt_metrics *metrics, const char *name, const char *help,
                      const double *values, struct dt_buf *text)
{
    bool headed = false;
    for (int i = 0; i < metrics->place->processes; i++) {
        if (values[i] <= 0)
            continue;
        if (!headed)
            head(text, name, "gauge", help);
        headed = true;
        put_name(text, name, metrics->place);
        dt_buf_printf(text, ",rank=\"%d\"} %.15g\n", metrics->place->rank + i, values[i]);
    }
}

/* ---- ranks --------------------------------------------------------------------------------- */

static void look(struct rank *rank, const struct dt_watch *steps)
{
    long long step = steps ? atomic_load(&steps->step) : -1;
    long long when_ns = steps ? atomic_load(&steps->step_ns) : 0;
    long long work_us = steps ? atomic_load(&steps->work_us) : 0;
    if (work_us > 0)
        rank->seconds = (double)work_us / 1e6;
    else if (rank->step_ns > 0 && step > rank->step)
        rank->seconds = (double)(when_ns - rank->step_ns) / 1e9 / (double)(step - rank->step);
    rank->step = step;
    rank->step_ns = when_ns;
}

static void put_progress(struct dt_metrics *metrics, const struct loop *loop, struct dt_buf *text)
{
    int count = metrics->place->processes;
    double *values = calloc((size_t)count * 3, sizeof *values), ahead = wall() - dt_now();
    for (int i = 0; values && loop->hang && i < count; i++) {
        const struct dt_progress *progress = dt_hang_progress(loop->hang, i);
        look(&metrics->ranks[i], dt_progress_steps(progress));
        values[i] = (double)metrics->ranks[i].step;
        values[count + i] = metrics->ranks[i].seconds;
        values[2 * count + i] = progress->moved > 0 ? progress->moved + ahead : 0;
    }
    if (values) {
        put_ranks(metrics, "dt_rank_step", "The last step that the rank has told of.", values,
                  text);
        put_ranks(metrics, "dt_rank_step_seconds",
                  "What a step takes; where the rank tells it, its own work for it.",
                  values + count, text);
        put_ranks(metrics, "dt_rank_last_progress_timestamp_seconds",
                  "When the rank last wrote, read, or told of a step.", values + (size_t)2 * count,
                  text);
    }
    free(values);
}

/* ---- the file ------------------------------------------------------------------------------ */

/* A collector never finds half a file; its name must end in .prom, that of the draft does not. loop: NULL when
 * nothing is known of the ranks. */
static void write_file(struct dt_metrics *metrics, bool up, const struct loop *loop)
{
    struct dt_buf text = DT_BUF_INIT;
    put_job(metrics, up, &text);
    if (loop)
        put_progress(metrics, loop, &text);
    int rc = text.failed ? -ENOMEM : dt_whole_replace(metrics->path, text.data, text.len);
    if (rc < 0 && !metrics->told) {
        dprintf(STDERR_FILENO, "dt-launch: --metrics: %s can not be written: %s\n", metrics->path,
                strerror(-rc));
        metrics->told = true;
    }
    dt_buf_fini(&text);
}

void dt_metrics_work(struct dt_metrics *metrics, const struct loop *loop)
{
    if (!metrics || dt_now() < metrics->next || loop->running == 0)
        return;
    metrics->next = dt_now() + EVERY_S;
    write_file(metrics, true, loop);
}

void dt_metrics_failure(struct dt_metrics *metrics, const struct dt_failure *failure,
                        const char *node)
{
    if (!metrics)
        return;
    dt_buf_clear(&metrics->first);
    put_name(&metrics->first, "dt_launch_first_failure", metrics->place);
    dt_buf_printf(&metrics->first, ",rank=\"%d\",node=\"%s\",cause=\"%s\"} 1\n",
                  failure->flags & DT_FAILURE_LOST ? -1 : failure->rank, node ? node : "",
                  dt_event_cause(failure));
    write_file(metrics, true, NULL);
}

void dt_metrics_restart(struct dt_metrics *metrics, const char *cause)
{
    size_t i = 0;
    if (!metrics)
        return;
    while (metrics->restarts[i].cause && strcmp(metrics->restarts[i].cause, cause) != 0)
        i++;
    metrics->restarts[i].cause = cause;
    metrics->restarts[i].count++;
    memset(metrics->ranks, 0, (size_t)metrics->place->processes * sizeof *metrics->ranks);
    write_file(metrics, true, NULL);
}

/* ---- begin and end ------------------------------------------------------------------------- */

/* Caller frees; NULL: no memory. */
static char *name_of(const char *pattern, const char *node)
{
    struct dt_buf path = DT_BUF_INIT;
    for (const char *at = pattern; *at; at++) {
        if (strncmp(at, "%n", 2) == 0)
            dt_buf_puts(&path, node);
        else
            dt_buf_append(&path, at, 1);
        at += strncmp(at, "%n", 2) == 0;
    }
    return dt_buf_take(&path);
}

int dt_metrics_open(struct dt_metrics **result, const struct dt_options *options,
                    const struct dt_place *place, struct dt_error *err)
{
    *result = NULL;
    bool here = options->metrics && strstr(options->metrics, "%n") ? place->local_rank == 0
                                                                   : place->rank == 0;
    if (!options->metrics || !here || options->dry_run)
        return 0;
    struct dt_metrics *metrics = calloc(1, sizeof *metrics);
    struct rank *ranks = calloc((size_t)place->processes, sizeof *ranks);
    char *path = name_of(options->metrics, place->node_name);
    if (!metrics || !ranks || !path) {
        free(metrics);
        free(ranks);
        free(path);
        return dt_error_set(err, "out of memory");
    }
    *metrics = (struct dt_metrics){.place = place, .path = path, .ranks = ranks};
    write_file(metrics, true, NULL);
    *result = metrics;
    return 0;
}

void dt_metrics_close(struct dt_metrics *metrics)
{
    if (!metrics)
        return;
    write_file(metrics, false, NULL);
    dt_buf_fini(&metrics->first);
    free(metrics->ranks);
    free(metrics->path);
    free(metrics);
}
