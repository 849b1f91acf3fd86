/* SPDX-License-Identifier: Apache-2.0 */
/* A connection's socket: what is sent goes out at once as far as the kernel takes it, and the rest
 * when it can. Messages are small and sockets empty, so that the rest is the exception. */
#ifndef DT_GATHER_STREAM_H
#define DT_GATHER_STREAM_H

#include <event2/event.h>
#include <stddef.h>

#include "base/buf.h"

struct stream {
    int fd;
    struct event *readable, *writable;
    struct dt_buf rest; /* not yet taken by the kernel */
    size_t sent;        /* of the rest */
    void (*on_sent)(void *context);
    void *context;
};

/* Owns fd, also when it fails. on_read gets the descriptor and the context; on_sent is called when
 * a rest has left. */
int stream_init(struct stream *stream, struct event_base *base, int fd, event_callback_fn on_read,
                void (*on_sent)(void *context), void *context);
void stream_fini(struct stream *stream);

/* 0: all has left; 1: the rest will, then on_sent is called; -1: the peer is gone (on_read will
 * tell), or no memory. */
int stream_send(struct stream *stream, const void *bytes, size_t len);

#endif
