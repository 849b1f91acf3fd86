/* SPDX-License-Identifier: Apache-2.0 */
/* The pipe from srun. Het components are announced on it ("component G nodes N nodelist L"); "end"
 * means that the step has ended while srun is still there; the pipe's own end means that srun is
 * gone and nobody waits for a verdict any more. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gather.h"
#include "terminal.h"

static void srun_is_gone(struct gather *g)
{
    g->silent = true;
    event_base_loopbreak(g->base);
}

static void complain(const char *sentence)
{
    char *text;
    if (asprintf(&text, "dt: %s\n", sentence) < 0)
        return;
    terminal_print(text);
    free(text);
}

static void take_line(struct gather *g, char *line)
{
    struct dt_error err;
    int group, nodes, at = 0;
    if (strcmp(line, "end") == 0) {
        judge_too_late(g);
        return;
    }
    if (sscanf(line, "component %d nodes %d %n", &group, &nodes, &at) != 2 || at == 0 ||
        group < 0 || nodes < 1 || nodes > 65536) {
        dt_error_set(&err, "dt-gather was told '%s', which it does not understand", line);
        complain(err.text);
        return;
    }
    const char *list = strncmp(line + at, "nodelist ", 9) == 0 ? line + at + 9 : NULL;
    if (roster_know(g, (size_t)group, nodes, list, &err) < 0)
        complain(err.text);
}

void control_read(evutil_socket_t fd, short what, void *context)
{
    (void)what;
    struct gather *g = context;
    char chunk[4096];
    ssize_t n = read((int)fd, chunk, sizeof chunk);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n <= 0) {
        srun_is_gone(g);
        return;
    }
    dt_buf_append(&g->control_text, chunk, (size_t)n);
    if (g->control_text.failed || g->control_text.len > DT_WIRE_FRAME_MAX) {
        srun_is_gone(g); /* not a peer that can be talked to */
        return;
    }
    char *line = g->control_text.data, *newline;
    while ((newline = strchr(line, '\n'))) {
        *newline = '\0';
        take_line(g, line);
        line = newline + 1;
    }
    size_t rest = strlen(line);
    memmove(g->control_text.data, line, rest + 1);
    g->control_text.len = rest;
    if (!g->decided && roster_complete(g))
        judge(g);
}
