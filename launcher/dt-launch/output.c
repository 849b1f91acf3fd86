/* SPDX-License-Identifier: Apache-2.0 */
/* The pump: pipes in, bytes or prefixed lines out. A line is written by one write() together with its
 * prefix. A line longer than the buffer comes in pieces, each on a line of its own, the later ones
 * marked by a '+' before the closing bracket of the prefix: "[3] aaa", "[3+] aaa". */
#include "output_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "worker.h"

#define FEW_BYTES 16384   /* of all ranks */
#define GATHER_NS 1000000 /* nobody sees that a line comes so much later */

/* ---- writing ------------------------------------------------------------------------------- */

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

static void wipe_status(struct dt_output *output)
{
    static const char wipe[] = "\r\033[K";
    if (atomic_exchange(&output->status, false) && write(STDERR_FILENO, wipe, sizeof wipe - 1) < 0)
        errno = 0; /* the terminal is gone */
}

void dt_output_status(struct dt_output *output, const char *text)
{
    if (!isatty(STDERR_FILENO)) {
        dprintf(STDERR_FILENO, "%s\n", text);
        return;
    }
    wipe_status(output);
    dprintf(STDERR_FILENO, "%s", text);
    atomic_store(&output->status, true);
}

void dt_output_deliver(struct dt_output *output, int out, const char *bytes, size_t len)
{
    if (!len || out == DT_OUTPUT_DROP || output->broken[out])
        return;
    wipe_status(output);
    int result = write_all(output, out, bytes, len);
    if (!result)
        return;
    output->broken[out] = true;
    output->unread[out] = result == -EPIPE;
    if (out == 1)
        dprintf(2, "dt-launch: standard output can not be written any more: %s\n",
                strerror(-result));
}

static void flush(struct dt_output *output, const struct stream *stream)
{
    dt_output_deliver(output, stream->out, output->text, output->len);
    output->len = 0;
}

/* ---- lines --------------------------------------------------------------------------------- */

static void put(struct dt_output *output, const char *bytes, size_t len)
{
    memcpy(output->text + output->len, bytes, len);
    output->len += len;
}

static void put_line(struct dt_output *output, struct stream *stream, const char *bytes, size_t len)
{
    size_t prefix_len = stream->inside ? stream->more_len : stream->prefix_len;
    if (output->len + prefix_len + len + 1 > TEXT_BYTES)
        flush(output, stream);
    put(output, stream->inside ? stream->more : stream->prefix, prefix_len);
    put(output, bytes, len);
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
        put(output, "\n", 1);
        stream->inside = true;
        stream->used = 0;
    }
}

/* ---- what is read -------------------------------------------------------------------------- */

static void take(struct dt_output *output, struct stream *stream)
{
    if (stream->hidden) {
        stream->used = 0;
    } else if (output->fold && stream->out != DT_OUTPUT_DROP) {
        dt_output_fold_lines(output, stream);
    } else if (stream->prefix) {
        take_lines(output, stream);
        flush(output, stream);
    } else {
        dt_output_deliver(output, stream->out, stream->line, stream->used);
        stream->used = 0;
    }
}

static void end_stream(struct dt_output *output, struct stream *stream)
{
    if (output->fold && !stream->hidden) {
        dt_output_fold_rest(output, stream);
    } else if (stream->used) {
        put_line(output, stream, stream->line, stream->used);
        put(output, "\n", 1);
        flush(output, stream);
    }
    stream->used = 0;
    pthread_mutex_lock(&output->lock);
    close(stream->in);
    stream->in = -1;
    pthread_mutex_unlock(&output->lock);
}

/* ---- thread -------------------------------------------------------------------------------- */

/* What was read is in the tail before anybody can find the pipe empty. */
static ssize_t receive_tail(struct dt_output *output, struct stream *stream, char *to)
{
    pthread_mutex_lock(&output->lock);
    ssize_t n = read(stream->in, to, sizeof stream->line - stream->used);
    int why = errno;
    if (n > 0)
        dt_tail_add(stream->tail, to, (size_t)n, dt_now_ns());
    pthread_mutex_unlock(&output->lock);
    errno = why;
    return n;
}

static ssize_t receive(struct dt_output *output, struct stream *stream)
{
    char *to = stream->line + stream->used;
    ssize_t n = stream->tail ? receive_tail(output, stream, to)
                             : read(stream->in, to, sizeof stream->line - stream->used);
    if (n > 0 && stream->watch)
        dt_watch_add(stream->watch, to, (size_t)n, dt_now_ns());
    if (n > 0 && stream->log)
        dt_log_file_write(stream->log, to, (size_t)n);
    return n;
}

/* Returns how many bytes came. */
static size_t pump(struct dt_output *output, struct stream *stream)
{
    ssize_t n = receive(output, stream);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return 0;
    if (n > 0) {
        stream->used += (size_t)n;
        take(output, stream);
    }
    /* Our reader is gone: let the rank find that out as it would without us. A full disk, by
     * contrast, must not end a job that only logs there: its output is still taken. */
    if (n <= 0 || output->unread[stream->out])
        end_stream(output, stream);
    return n > 0 ? (size_t)n : 0;
}

/* Ranks that write a line at a time would have us woken for each: after a little we wait a little, for more of it. */
static void let_gather(size_t bytes)
{
    if (bytes > 0 && bytes < FEW_BYTES)
        nanosleep(&(struct timespec){.tv_nsec = GATHER_NS}, NULL);
}

static bool is_finished(struct dt_output *output, size_t open)
{
    pthread_mutex_lock(&output->lock);
    bool finished = open == 0 && (!output->fold || output->finishing);
    pthread_mutex_unlock(&output->lock);
    return finished;
}

static void *run(void *argument)
{
    struct dt_output *output = argument;
    size_t count = output->count, open = 0;
    struct pollfd *fds = calloc(count + 1, sizeof *fds);
    for (size_t i = 0; i < count; i++) /* nobody waits for the end of what is dropped */
        open += output->streams[i]->out != DT_OUTPUT_DROP;
    while (fds && !is_finished(output, open)) {
        eventfd_t unused;
        for (size_t i = 0; i < count; i++)
            fds[i] = (struct pollfd){.fd = output->streams[i]->in, .events = POLLIN};
        fds[count] = (struct pollfd){.fd = output->wake, .events = POLLIN};
        if (poll(fds, count + 1, dt_output_fold_wait(output)) < 0)
            continue;
        size_t bytes = 0;
        for (size_t i = 0; i < count; i++) {
            if (!fds[i].revents)
                continue;
            bytes += pump(output, output->streams[i]);
            open -= output->streams[i]->in < 0 && output->streams[i]->out != DT_OUTPUT_DROP;
        }
        if (fds[count].revents && eventfd_read(output->wake, &unused))
            errno = 0; /* somebody else was faster */
        if (output->fold)
            dt_output_fold_drain(output, open == 0 && output->relay);
        let_gather(open ? bytes : 0);
    }
    if (output->fold)
        dt_output_fold_drain(output, true);
    free(fds);
    return NULL;
}

/* ---- making -------------------------------------------------------------------------------- */

struct dt_output *dt_output_create(struct dt_error *err)
{
    struct dt_output *output = calloc(1, sizeof *output);
    char *text = malloc(TEXT_BYTES);
    if (!output || !text) {
        free(output);
        free(text);
        dt_error_set(err, "out of memory");
        return NULL;
    }
    output->text = text;
    output->wake = -1;
    pthread_mutex_init(&output->lock, NULL);
    return output;
}

static void free_stream(struct stream *stream)
{
    if (!stream)
        return;
    if (stream->in >= 0)
        close(stream->in);
    if (stream->log)
        dt_log_file_close(stream->log);
    free(stream->log);
    dt_ranks_fini(&stream->self);
    free(stream->prefix);
    free(stream->more);
    free(stream->tail);
    free(stream);
}

static struct stream *make_stream(const struct dt_output_stream *spec, int in)
{
    struct stream *stream = calloc(1, sizeof *stream);
    if (!stream) {
        close(in);
        if (spec->log)
            dt_log_file_close(spec->log);
        free(spec->log);
        return NULL;
    }
    bool good = true;
    stream->in = in;
    stream->out = spec->out;
    stream->watch = spec->watch;
    stream->hidden = spec->hidden;
    stream->log = spec->log;
    stream->tail = spec->keep_tail ? calloc(1, sizeof *stream->tail) : NULL;
    if (spec->prefix) {
        good = asprintf(&stream->prefix, "[%s] ", spec->prefix) >= 0 &&
               asprintf(&stream->more, "[%s+] ", spec->prefix) >= 0;
        stream->prefix_len = good ? strlen(stream->prefix) : 0;
        stream->more_len = good ? strlen(stream->more) : 0;
    }
    if (good && (stream->tail || !spec->keep_tail))
        return stream;
    free_stream(stream);
    return NULL;
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

int dt_output_add(struct dt_output *output, const struct dt_output_stream *spec, size_t *id,
                  struct dt_error *err)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC))
        return dt_error_set(err, "a pipe for the output of the ranks can not be made: %s",
                            strerror(errno));
    struct stream *stream = make_stream(spec, ends[0]);
    bool good = stream && (!output->fold || dt_ranks_init(&stream->self, output->world) == 0);
    if (good)
        dt_ranks_add(&stream->self, spec->rank);
    if (!good || keep_stream(output, stream)) {
        free_stream(stream);
        close(ends[1]);
        return dt_error_set(err, "out of memory");
    }
    *id = output->count - 1;
    fcntl(ends[1], F_SETPIPE_SZ, PIPE_BYTES); /* fewer switches; refused over the user's quota */
    return ends[1];
}

int dt_output_start(struct dt_output *output, struct dt_error *err)
{
    int result = pthread_create(&output->thread, NULL, run, output);
    if (result)
        return dt_error_set(err, "the thread for the ranks' output can not be started: %s",
                            strerror(result));
    output->started = true;
    return 0;
}

/* ---- ending -------------------------------------------------------------------------------- */

void dt_output_tail(struct dt_output *output, size_t id, struct dt_tail *tail)
{
    const struct stream *stream = output->streams[id];
    double until = dt_now() + 0.1;
    for (;;) {
        int unread = 0;
        pthread_mutex_lock(&output->lock);
        bool settled = stream->in < 0 || ioctl(stream->in, FIONREAD, &unread) || unread == 0 ||
                       dt_now() > until;
        if (settled)
            *tail = *stream->tail;
        pthread_mutex_unlock(&output->lock);
        if (settled)
            return;
        nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
    }
}

static void destroy(struct dt_output *output)
{
    wipe_status(output);
    for (size_t i = 0; i < output->count; i++)
        free_stream(output->streams[i]);
    pthread_mutex_destroy(&output->lock);
    dt_fold_destroy(output->fold);
    if (output->wake >= 0)
        close(output->wake);
    free(output->streams);
    free(output->text);
    free(output);
}

bool dt_output_finish(struct dt_output *output)
{
    unsigned long before;
    pthread_mutex_lock(&output->lock);
    output->finishing = true;
    pthread_mutex_unlock(&output->lock);
    dt_output_wake(output);
    if (output->relay)
        dt_relay_close(output->relay);
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
