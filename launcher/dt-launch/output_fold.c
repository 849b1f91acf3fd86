/* SPDX-License-Identifier: Apache-2.0 */
/* The ranks' lines through lib/fold: into it by the output's thread and by the session, out of it to the lead
 * or to our own reader. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/buf.h"
#include "output_internal.h"
#include "worker.h"

/* Lines leave together: every time somebody wakes up for them, here and on the lead's node. */
#define DRAIN_NS 10000000
/* Above what the fold keeps for its window, or a rate that fills this would always be too much. */
#define FULL_LINES (2 * DT_FOLD_PENDING_MAX)

/* With the lock. */
static void fold_piece(struct dt_output *output, const struct stream *stream, const char *text,
                       size_t length, long long now_ns)
{
    for (;;) {
        size_t part = length < DT_FOLD_LINE_MAX ? length : DT_FOLD_LINE_MAX;
        if (dt_fold_add(output->fold, stream->out, &stream->self, text, part, now_ns))
            dprintf(2, "dt-launch: out of memory; a line of output is lost\n");
        if (part == length)
            return;
        text += part;
        length -= part;
    }
}

/* Whole lines go into the fold; so does what fills the buffer. */
void dt_output_fold_lines(struct dt_output *output, struct stream *stream)
{
    char *at = stream->line, *end = stream->line + stream->used, *newline;
    long long now = dt_now_ns();
    pthread_mutex_lock(&output->lock);
    while ((newline = memchr(at, '\n', (size_t)(end - at)))) {
        fold_piece(output, stream, at, (size_t)(newline - at), now);
        at = newline + 1;
    }
    stream->used = (size_t)(end - at);
    memmove(stream->line, at, stream->used);
    if (stream->used == sizeof stream->line) {
        fold_piece(output, stream, stream->line, stream->used, now);
        stream->used = 0;
    }
    pthread_mutex_unlock(&output->lock);
}

void dt_output_fold_rest(struct dt_output *output, struct stream *stream)
{
    pthread_mutex_lock(&output->lock);
    if (stream->used)
        fold_piece(output, stream, stream->line, stream->used, dt_now_ns());
    pthread_mutex_unlock(&output->lock);
    stream->used = 0;
}

static void put_folded(struct dt_buf *text, const struct dt_folded *line)
{
    dt_buf_puts(text, "[");
    dt_ranks_words(&line->ranks, text);
    dt_buf_puts(text, "] ");
    dt_buf_puts(text, line->text);
    dt_buf_puts(text, "\n");
}

static void show(struct dt_output *output, int stream, struct dt_buf *text)
{
    if (text->len && !text->failed)
        dt_output_deliver(output, stream, text->data, text->len);
    dt_buf_clear(text);
}

/* What need not wait any more leaves: to the lead, or to our own reader. */
void dt_output_fold_drain(struct dt_output *output, bool flush)
{
    struct dt_buf text = DT_BUF_INIT; /* lines of one stream, for one write */
    struct dt_folded line;
    int stream = 1;
    long long now = dt_now_ns();
    pthread_mutex_lock(&output->lock);
    bool much = dt_fold_pending(output->fold) > DT_FOLD_PENDING_MAX;
    pthread_mutex_unlock(&output->lock);
    output->held = !flush && !much && now < output->drained_ns + DRAIN_NS;
    if (output->held)
        return;
    output->drained_ns = now;
    for (;;) {
        pthread_mutex_lock(&output->lock);
        bool there = dt_fold_next(output->fold, now, flush, &line);
        pthread_mutex_unlock(&output->lock);
        if (!there)
            break;
        if (output->relay && dt_relay_put(output->relay, &line))
            continue;
        if (line.stream != stream || text.len > TEXT_BYTES)
            show(output, stream, &text);
        stream = line.stream;
        put_folded(&text, &line);
        dt_folded_fini(&line);
    }
    show(output, stream, &text);
    dt_buf_fini(&text);
}

int dt_output_fold(struct dt_output *output, const struct dt_ranks *all, bool numbers,
                   long long window_ns, struct dt_relay *relay, struct dt_error *err)
{
    output->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (output->wake < 0)
        return dt_error_set(err, "an event descriptor can not be made: %s", strerror(errno));
    output->fold = dt_fold_create(all, numbers, window_ns);
    output->relay = relay;
    output->world = all->size;
    return output->fold ? 0 : dt_error_set(err, "out of memory");
}

void dt_output_wake(struct dt_output *output)
{
    if (output->wake >= 0 && eventfd_write(output->wake, 1))
        errno = 0; /* it is readable already */
}

void dt_output_feed(struct dt_output *output, int stream, const struct dt_ranks *ranks,
                    const char *text)
{
    if (!output->fold)
        return;
    pthread_mutex_lock(&output->lock);
    (void)dt_fold_add(output->fold, stream, ranks, text, strlen(text), dt_now_ns());
    pthread_mutex_unlock(&output->lock);
    output->fed = true;
}

void dt_output_fed(struct dt_output *output)
{
    if (output->fed)
        dt_output_wake(output);
    output->fed = false;
}

bool dt_output_full(struct dt_output *output)
{
    pthread_mutex_lock(&output->lock);
    bool full = output->fold && dt_fold_pending(output->fold) > FULL_LINES;
    pthread_mutex_unlock(&output->lock);
    return full;
}

bool dt_output_quiet(struct dt_output *output)
{
    pthread_mutex_lock(&output->lock);
    bool quiet = !output->fold || dt_fold_pending(output->fold) == 0;
    for (size_t i = 0; i < output->count; i++)
        quiet = quiet && (output->streams[i]->in < 0 || output->streams[i]->out == DT_OUTPUT_DROP);
    pthread_mutex_unlock(&output->lock);
    return quiet;
}

/* How long (ms) the next line of the fold may wait. */
int dt_output_fold_wait(struct dt_output *output)
{
    pthread_mutex_lock(&output->lock);
    long long due = output->fold ? dt_fold_due(output->fold) : 0;
    pthread_mutex_unlock(&output->lock);
    if (output->held || (due > 0 && due < output->drained_ns + DRAIN_NS))
        due = output->drained_ns + DRAIN_NS;
    long long left = due - dt_now_ns();
    return due == 0 ? -1 : left <= 0 ? 0 : (int)(left / 1000000) + 1;
}
