/* SPDX-License-Identifier: Apache-2.0 */
/* The pump: pipes in, prefixed lines out. A line is written by one write() together with its
 * prefix. A line longer than the buffer comes in pieces, each on a line of its own, the later ones
 * marked by a '+' before the closing bracket of the prefix: "[3] aaa", "[3+] aaa". */
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"

#define LINE_MAX_BYTES 65536
#define PIPE_BYTES     (1 << 18)

struct stream {
    int in, out;
    char *prefix, *more; /* "[3] ", "[3+] " */
    size_t used;
    bool inside; /* an earlier piece of this line is out already */
    char line[LINE_MAX_BYTES];
};

struct dt_output {
    struct stream **streams;
    size_t count;
    struct dt_buf text; /* what the next write will say */
    pthread_t thread;
    bool started;
    atomic_ulong moved; /* bytes, to see whether the reader still reads */
    bool broken[3];     /* our descriptor 1, 2 takes no more: what comes is thrown away */
    bool unread[3];     /* and its reader is gone */
};

/* Blocks as long as the reader does. Returns 0 or -errno. */
static int write_all(struct dt_output *output, int fd, const char *bytes, size_t len)
{
    while (len) {
        ssize_t n = write(fd, bytes, len);
        if (n > 0) {
            bytes += n;
            len -= (size_t)n;
            atomic_fetch_add(&output->moved, (unsigned long)n);
        } else if (n < 0 && errno == EAGAIN) {
            struct pollfd ready = {.fd = fd, .events = POLLOUT};
            poll(&ready, 1, -1);
        } else if (n < 0 && errno != EINTR) {
            return -errno;
        }
    }
    return 0;
}

static void put_line(struct dt_output *output, struct stream *stream, const char *bytes, size_t len)
{
    dt_buf_puts(&output->text, stream->inside ? stream->more : stream->prefix);
    dt_buf_append(&output->text, bytes, len);
}

/* Move whole lines from the stream's buffer to the text. */
static void take_lines(struct dt_output *output, struct stream *stream)
{
    char *at = stream->line, *end = stream->line + stream->used, *newline;
    while ((newline = memchr(at, '\n', (size_t)(end - at)))) {
        put_line(output, stream, at, (size_t)(newline + 1 - at));
        stream->inside = false;
        at = newline + 1;
    }
    stream->used = (size_t)(end - at);
    memmove(stream->line, at, stream->used);
    if (stream->used == sizeof stream->line) {
        put_line(output, stream, stream->line, stream->used);
        dt_buf_puts(&output->text, "\n");
        stream->inside = true;
        stream->used = 0;
    }
}

static void flush(struct dt_output *output, struct stream *stream)
{
    struct dt_buf *text = &output->text;
    if (text->len && !output->broken[stream->out]) {
        int result = write_all(output, stream->out, text->data, text->len);
        if (result) {
            output->broken[stream->out] = true;
            output->unread[stream->out] = result == -EPIPE;
            if (stream->out == 1)
                dprintf(2, "dt-launch: standard output can not be written any more: %s\n",
                        strerror(-result));
        }
    }
    dt_buf_clear(text);
}

static void end_stream(struct dt_output *output, struct stream *stream)
{
    if (stream->used) {
        put_line(output, stream, stream->line, stream->used);
        dt_buf_puts(&output->text, "\n");
        stream->used = 0;
    }
    flush(output, stream);
    close(stream->in);
    stream->in = -1;
}

static void pump(struct dt_output *output, struct stream *stream)
{
    ssize_t n = read(stream->in, stream->line + stream->used, sizeof stream->line - stream->used);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n > 0) {
        stream->used += (size_t)n;
        take_lines(output, stream);
        flush(output, stream);
    }
    /* Our reader is gone: let the rank find that out as it would without us. A full disk, by
     * contrast, must not end a job that only logs there: its output is still taken. */
    if (n <= 0 || output->unread[stream->out])
        end_stream(output, stream);
}

static void *run(void *argument)
{
    struct dt_output *output = argument;
    struct pollfd *fds = calloc(output->count, sizeof *fds);
    size_t open = output->count;
    while (fds && open) {
        for (size_t i = 0; i < output->count; i++)
            fds[i] = (struct pollfd){.fd = output->streams[i]->in, .events = POLLIN};
        if (poll(fds, output->count, -1) < 0)
            continue;
        for (size_t i = 0; i < output->count; i++) {
            if (!fds[i].revents)
                continue;
            pump(output, output->streams[i]);
            open -= output->streams[i]->in < 0;
        }
    }
    free(fds);
    return NULL;
}

struct dt_output *dt_output_create(struct dt_error *err)
{
    struct dt_output *output = calloc(1, sizeof *output);
    if (!output)
        dt_error_set(err, "out of memory");
    return output;
}

static int keep_stream(struct dt_output *output, struct stream *stream)
{
    struct stream **streams = reallocarray(output->streams, output->count + 1, sizeof(void *));
    if (!streams)
        return -1;
    output->streams = streams;
    streams[output->count++] = stream;
    return 0;
}

int dt_output_add(struct dt_output *output, const char *prefix, int out, struct dt_error *err)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC))
        return dt_error_set(err, "a pipe for the output of the ranks can not be made: %s",
                            strerror(errno));
    struct stream *stream = malloc(sizeof *stream);
    if (stream) {
        stream->in = ends[0];
        stream->out = out;
        stream->used = 0;
        stream->inside = false;
        if (asprintf(&stream->prefix, "[%s] ", prefix) < 0)
            stream->prefix = NULL;
        if (asprintf(&stream->more, "[%s+] ", prefix) < 0)
            stream->more = NULL;
    }
    if (!stream || !stream->prefix || !stream->more || keep_stream(output, stream)) {
        close(ends[0]);
        close(ends[1]);
        return dt_error_set(err, "out of memory");
    }
    fcntl(ends[1], F_SETPIPE_SZ, PIPE_BYTES); /* fewer switches; refused over the user's quota */
    return ends[1];
}

int dt_output_start(struct dt_output *output, struct dt_error *err)
{
    int result = pthread_create(&output->thread, NULL, run, output);
    if (result)
        return dt_error_set(err, "the thread for prefixed output can not be started: %s",
                            strerror(result));
    output->started = true;
    return 0;
}

static void destroy(struct dt_output *output)
{
    for (size_t i = 0; i < output->count; i++) {
        if (output->streams[i]->in >= 0)
            close(output->streams[i]->in);
        free(output->streams[i]->prefix);
        free(output->streams[i]->more);
        free(output->streams[i]);
    }
    free(output->streams);
    dt_buf_fini(&output->text);
    free(output);
}

bool dt_output_finish(struct dt_output *output)
{
    unsigned long before;
    do {
        struct timespec until;
        before = atomic_load(&output->moved);
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += 2;
        if (!output->started || pthread_timedjoin_np(output->thread, NULL, &until) == 0) {
            destroy(output);
            return true;
        }
    } while (atomic_load(&output->moved) != before);
    return false;
}
