/* SPDX-License-Identifier: Apache-2.0 */
/* A socket with a rest. */
#include "stream.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

/* Bytes that the kernel took; -1: never any more. */
static ssize_t push(int fd, const char *bytes, size_t len)
{
    size_t done = 0;
    while (done < len) {
        ssize_t n = send(fd, bytes + done, len - done, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n >= 0)
            done += (size_t)n;
        else if (errno == EAGAIN)
            break;
        else if (errno != EINTR)
            return -1;
    }
    return (ssize_t)done;
}

static void on_writable(evutil_socket_t fd, short what, void *context)
{
    (void)what;
    struct stream *s = context;
    ssize_t n = push((int)fd, s->rest.data + s->sent, s->rest.len - s->sent);
    if (n >= 0)
        s->sent += (size_t)n;
    if (n >= 0 && s->sent < s->rest.len)
        return;
    event_del(s->writable);
    dt_buf_fini(&s->rest);
    s->sent = 0;
    if (n >= 0)
        s->on_sent(s->context);
}

int stream_init(struct stream *s, struct event_base *base, int fd, event_callback_fn on_read,
                void (*on_sent)(void *context), void *context)
{
    *s = (struct stream){.fd = fd, .on_sent = on_sent, .context = context};
    s->readable = event_new(base, fd, EV_READ | EV_PERSIST, on_read, context);
    s->writable = event_new(base, fd, EV_WRITE | EV_PERSIST, on_writable, s);
    return s->readable && s->writable ? event_add(s->readable, NULL) : -1;
}

void stream_fini(struct stream *s)
{
    if (s->readable)
        event_free(s->readable);
    if (s->writable)
        event_free(s->writable);
    close(s->fd);
    dt_buf_fini(&s->rest);
    *s = (struct stream){.fd = -1};
}

int stream_send(struct stream *s, const void *bytes, size_t len)
{
    ssize_t n = s->rest.len ? 0 : push(s->fd, bytes, len);
    if (n < 0)
        return -1;
    if ((size_t)n == len)
        return 0;
    dt_buf_append(&s->rest, (const char *)bytes + n, len - (size_t)n);
    return s->rest.failed || event_add(s->writable, NULL) < 0 ? -1 : 1;
}
