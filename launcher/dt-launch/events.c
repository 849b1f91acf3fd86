/* SPDX-License-Identifier: Apache-2.0 */
/* Writing events; see events.h. */
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
#include "loop.h"

#define STEP_EVERY_S 10.0

struct dt_events {
    const struct dt_place *place;
    int file; /* -1: it can not be written any more */
    double began;
    double next; /* when a step is next told of */
    long long step;
};

static double wall(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
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
    dt_event(events, first ? "cause" : "failure", "rank:d node:d pid:d code:d cause:s sentence:s",
             rank ? (long long)failure->rank : -1LL, (long long)failure->node,
             (long long)failure->pid, (long long)dt_status_code(failure->status),
             dt_event_cause(failure), failure->sentence);
}

void dt_events_work(struct dt_events *events, const struct loop *loop)
{
    double now = dt_now();
    long long step;
    if (!events || now < events->next || (step = dt_loop_steps(loop)) == events->step)
        return;
    if (step > events->step)
        dt_event(events, "step", "number:d", step);
    events->step = step; /* lower: the ranks have started again */
    events->next = now + STEP_EVERY_S;
}

/* ---- begin and end ------------------------------------------------------------------------- */

int dt_events_open(struct dt_events **result, const struct dt_options *options,
                   const struct dt_place *place, struct dt_error *err)
{
    *result = NULL;
    if (!options->events || place->rank > 0 || options->dry_run)
        return 0;
    struct dt_events *events = calloc(1, sizeof *events);
    if (!events)
        return dt_error_set(err, "out of memory");
    *events = (struct dt_events){.place = place, .began = dt_now()};
    events->file = open(options->events, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (events->file < 0) {
        free(events);
        return dt_error_set(err, "--events: %s can not be opened: %s", options->events,
                            strerror(errno));
    }
    *result = events;
    dt_event(events, "start", "platform:s nodes:d ranks:d program:s", place->adapter,
             (long long)place->node_count, (long long)place->world_size, options->program[0]);
    return 0;
}

void dt_events_close(struct dt_events *events, int code)
{
    if (!events)
        return;
    dt_event(events, "end", "code:d seconds:f", (long long)code, dt_now() - events->began);
    if (events->file >= 0)
        close(events->file);
    free(events);
}
