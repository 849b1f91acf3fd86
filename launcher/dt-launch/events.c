/* SPDX-License-Identifier: Apache-2.0 */
/* Writing events and metrics; see events.h. */
#include "events.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/whole.h"
#include "worker.h"

#define CAUSES 6

struct dt_events {
    const struct dt_place *place;
    int file;            /* of --events; -1: none */
    const char *metrics; /* path of --metrics; NULL: none */
    bool told;           /* that the metrics can not be written */
    double began;
    struct {
        const char *cause;
        int count;
    } restarts[CAUSES];
    struct dt_buf first; /* the metric of the newest first failure, whole */
};

static double wall(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- metrics ------------------------------------------------------------------------------- */

static void put_job(struct dt_buf *text, const struct dt_place *place)
{
    if (place->job >= 0)
        dt_buf_printf(text, "slurm_job_id=\"%lld\"", place->job);
    else
        dt_buf_puts(text, "slurm_job_id=\"\"");
}

static void head(struct dt_buf *text, const char *name, const char *type, const char *help)
{
    dt_buf_printf(text, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put_metrics(const struct dt_events *events, bool up, struct dt_buf *text)
{
    const struct dt_place *place = events->place;
    head(text, "dt_launch_up", "gauge", "Whether the job's dt-launch runs.");
    dt_buf_puts(text, "dt_launch_up{");
    put_job(text, place);
    dt_buf_printf(text, ",node_rank=\"%d\"} %d\n", place->node_rank, up);
    head(text, "dt_launch_world_size", "gauge", "Ranks of the job.");
    dt_buf_puts(text, "dt_launch_world_size{");
    put_job(text, place);
    dt_buf_printf(text, "} %d\n", place->world_size);
    head(text, "dt_launch_restarts_total", "counter", "Restarts of all ranks, by cause.");
    for (int i = 0; i < CAUSES && events->restarts[i].cause; i++) {
        dt_buf_puts(text, "dt_launch_restarts_total{");
        put_job(text, place);
        dt_buf_printf(text, ",reason=\"%s\"} %d\n", events->restarts[i].cause,
                      events->restarts[i].count);
    }
    if (events->first.len) {
        head(text, "dt_launch_first_failure", "gauge", "The rank that failed first, and why.");
        dt_buf_puts(text, events->first.data);
    }
    head(text, "dt_launch_timestamp_seconds", "gauge", "When this file was written.");
    dt_buf_puts(text, "dt_launch_timestamp_seconds{");
    put_job(text, place);
    dt_buf_printf(text, "} %.3f\n", wall());
}

/* A collector never finds half a file; its name must end in .prom, that of the draft does not. */
static void write_metrics(struct dt_events *events, bool up)
{
    struct dt_buf text = DT_BUF_INIT;
    if (!events->metrics)
        return;
    put_metrics(events, up, &text);
    int rc = text.failed ? -ENOMEM : dt_whole_replace(events->metrics, text.data, text.len);
    if (rc < 0 && !events->told) {
        dprintf(STDERR_FILENO, "dt-launch: --metrics: %s can not be written: %s\n", events->metrics,
                strerror(-rc));
        events->told = true;
    }
    dt_buf_fini(&text);
}

/* ---- events -------------------------------------------------------------------------------- */

/* The value of the next member, of kind `kind`. */
static void put_value(struct dt_buf *line, char kind, va_list *values)
{
    const char *text;
    switch (kind) {
    case 'd':
        dt_buf_printf(line, "%lld", va_arg(*values, long long));
        break;
    case 'f':
        dt_buf_printf(line, "%.3f", va_arg(*values, double));
        break;
    case 'b':
        dt_buf_puts(line, va_arg(*values, int) ? "true" : "false");
        break;
    default:
        text = va_arg(*values, const char *);
        if (text)
            dt_buf_json(line, text);
        else
            dt_buf_puts(line, "null");
    }
}

static void put_members(struct dt_buf *line, const char *members, va_list *values)
{
    for (const char *at = members; *at;) {
        size_t name = strcspn(at, ":");
        dt_buf_printf(line, ", \"%.*s\": ", (int)name, at);
        put_value(line, at[name + 1], values);
        at += name + 2;
        at += *at == ' ';
    }
}

void dt_event(struct dt_events *events, const char *name, const char *members, ...)
{
    struct dt_buf line = DT_BUF_INIT;
    va_list values;
    if (!events || events->file < 0)
        return;
    dt_buf_printf(&line, "{\"event\": \"%s\", \"time\": %.3f", name, wall());
    if (events->place->job >= 0)
        dt_buf_printf(&line, ", \"job\": %lld, \"step\": %lld", events->place->job,
                      events->place->step);
    va_start(values, members);
    put_members(&line, members, &values);
    va_end(values);
    dt_buf_puts(&line, "}\n");
    if (!line.failed && write(events->file, line.data, line.len) != (ssize_t)line.len) {
        dprintf(STDERR_FILENO, "dt-launch: events can not be written any more: %s\n",
                strerror(errno));
        close(events->file);
        events->file = -1;
    }
    dt_buf_fini(&line);
}

const char *dt_event_cause(const struct dt_failure *failure)
{
    return failure->flags & DT_FAILURE_LOST   ? "node-lost"
           : failure->flags & DT_FAILURE_OOM  ? "oom"
           : failure->flags & DT_FAILURE_HANG ? "hang"
           : WIFSIGNALED(failure->status)     ? "signal"
                                              : "exit";
}

void dt_event_failure(struct dt_events *events, const struct dt_failure *failure, bool first)
{
    bool rank = !(failure->flags & DT_FAILURE_LOST);
    if (!events)
        return;
    dt_event(events, first ? "cause" : "failure", "rank:d node:d pid:d code:d cause:s sentence:s",
             rank ? (long long)failure->rank : -1LL, (long long)failure->node,
             (long long)failure->pid, (long long)dt_status_code(failure->status),
             dt_event_cause(failure), failure->sentence);
    if (!first)
        return;
    dt_buf_clear(&events->first);
    dt_buf_puts(&events->first, "dt_launch_first_failure{");
    put_job(&events->first, events->place);
    dt_buf_printf(&events->first, ",rank=\"%d\",node_rank=\"%d\",cause=\"%s\"} 1\n",
                  rank ? failure->rank : -1, failure->node, dt_event_cause(failure));
    write_metrics(events, true);
}

void dt_event_restart(struct dt_events *events, int number, double delay_s,
                      const struct dt_failure *cause)
{
    int i = 0;
    if (!events)
        return;
    dt_event(events, "restart", "number:d delay_s:f cause:s", (long long)number, delay_s,
             dt_event_cause(cause));
    while (events->restarts[i].cause && events->restarts[i].cause != dt_event_cause(cause))
        i++;
    events->restarts[i].cause = dt_event_cause(cause);
    events->restarts[i].count++;
    write_metrics(events, true);
}

/* ---- begin and end ------------------------------------------------------------------------- */

int dt_events_open(struct dt_events **result, const struct dt_options *options,
                   const struct dt_place *place, struct dt_error *err)
{
    *result = NULL;
    if ((!options->events && !options->metrics) || place->rank > 0 || options->dry_run)
        return 0;
    struct dt_events *events = calloc(1, sizeof *events);
    if (!events)
        return dt_error_set(err, "out of memory");
    *events = (struct dt_events){
        .place = place, .file = -1, .metrics = options->metrics, .began = dt_now()};
    if (options->events)
        events->file = open(options->events, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (options->events && events->file < 0) {
        free(events);
        return dt_error_set(err, "--events: %s can not be opened: %s", options->events,
                            strerror(errno));
    }
    *result = events;
    dt_event(events, "start", "platform:s nodes:d ranks:d program:s", place->adapter,
             (long long)place->node_count, (long long)place->world_size, options->program[0]);
    write_metrics(events, true);
    return 0;
}

void dt_events_close(struct dt_events *events, int code)
{
    if (!events)
        return;
    dt_event(events, "end", "code:d seconds:f", (long long)code, dt_now() - events->began);
    write_metrics(events, false);
    if (events->file >= 0)
        close(events->file);
    dt_buf_fini(&events->first);
    free(events);
}
