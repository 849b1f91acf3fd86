/* SPDX-License-Identifier: Apache-2.0 */
/* Lines as they go by. A flood of output is not looked into for steps: nobody prints steps so fast. */
#include "watch.h"

#include <stdio.h>
#include <string.h>

#include "hang/hang.h"

#define FLOOD_BYTES 16384 /* in one read */

void dt_watch_init(struct dt_watch *watch, const char *wanted)
{
    *watch = (struct dt_watch){.wanted = wanted};
    atomic_store(&watch->step, -1);
}

/* "step 17 0.182": the last figure is smoothed, since a single step may be odd. */
static void take_work(struct dt_watch *watch)
{
    char text[64];
    double seconds;
    if (watch->used >= sizeof text || strncmp(watch->line, "step ", 5) != 0)
        return;
    memcpy(text, watch->line, watch->used);
    text[watch->used] = '\0';
    char after;
    if (sscanf(text, "step %*d %lf%c", &seconds, &after) != 1 || !(seconds > 0 && seconds < 86400))
        return;
    long long us = (long long)(seconds * 1e6), old = atomic_load(&watch->work_us);
    atomic_store(&watch->work_us, old ? (old * 15 + us) / 16 : us);
}

static void take_line(struct dt_watch *watch, long long now_ns)
{
    const char *wanted = watch->wanted;
    if (wanted && memmem(watch->line, watch->used, wanted, strlen(wanted)))
        atomic_store(&watch->found_ns, now_ns);
    take_work(watch);
    long long step = dt_step_of_line(watch->line, watch->used);
    if (step > atomic_load(&watch->step)) {
        atomic_store(&watch->step_ns, now_ns);
        atomic_store(&watch->step, step);
    }
    watch->used = 0;
}

void dt_watch_add(struct dt_watch *watch, const char *bytes, size_t len, long long now_ns)
{
    const char *at = bytes, *end = bytes + len;
    if (len > FLOOD_BYTES && !watch->wanted) {
        at = memrchr(bytes, '\n', len);
        at = at ? at + 1 : end;
        watch->used = 0;
    }
    while (at < end) {
        /* A progress bar begins its line anew with a carriage return. */
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *stop = newline ? newline : end;
        const char *back = memchr(at, '\r', (size_t)(stop - at));
        stop = back ? back : stop;
        size_t room = sizeof watch->line - watch->used, piece = (size_t)(stop - at);
        memcpy(watch->line + watch->used, at, piece < room ? piece : room);
        watch->used += piece < room ? piece : room;
        if (stop == end)
            break;
        take_line(watch, now_ns);
        at = stop + 1;
    }
    atomic_store(&watch->said_ns, now_ns);
}
