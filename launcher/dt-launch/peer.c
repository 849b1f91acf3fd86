/* SPDX-License-Identifier: Apache-2.0 */
/* One connection to another dt-launch: bytes out, bytes in, nothing that blocks. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "session_internal.h"

struct peer *dt_peer_add(struct dt_session *session, int fd)
{
    int on = 1;
    struct peer *peer = calloc(1, sizeof *peer);
    struct peer **peers =
        reallocarray(session->peers, session->peer_count + 1, sizeof(struct peer *));
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = peer};
    if (peers)
        session->peers = peers;
    if (!peer || !peers || epoll_ctl(session->poll, EPOLL_CTL_ADD, fd, &event)) {
        free(peer);
        close(fd);
        return NULL;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    peer->fd = fd;
    peer->node = -1;
    peer->heard = dt_now();
    session->peers[session->peer_count++] = peer;
    return peer;
}

void dt_peer_free(struct peer *peer)
{
    if (peer->fd >= 0)
        close(peer->fd);
    dt_link_reader_fini(&peer->in);
    dt_buf_fini(&peer->out);
    free(peer->name);
    free(peer);
}

void dt_peer_gone(struct dt_session *session, struct peer *peer)
{
    if (peer->fd < 0)
        return;
    epoll_ctl(session->poll, EPOLL_CTL_DEL, peer->fd, NULL);
    close(peer->fd);
    peer->fd = -1;
}

void dt_peer_flush(struct dt_session *session, struct peer *peer)
{
    struct dt_buf *out = &peer->out;
    size_t at = 0;
    while (peer->fd >= 0 && at < out->len) {
        ssize_t n = send(peer->fd, out->data + at, out->len - at, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            break; /* a broken connection is seen when it is read */
        at += (size_t)n;
    }
    if (at) {
        memmove(out->data, out->data + at, out->len - at);
        out->len -= at;
    }
    bool more = out->len > 0;
    struct epoll_event event = {.events = EPOLLIN | (more ? EPOLLOUT : 0), .data.ptr = peer};
    if (peer->fd >= 0 && more != peer->writing)
        epoll_ctl(session->poll, EPOLL_CTL_MOD, peer->fd, &event);
    peer->writing = more;
}

void dt_peer_send(struct dt_session *session, struct peer *peer,
                  const struct dt_link_message *message)
{
    if (peer->fd < 0)
        return;
    dt_link_encode(&peer->out, message);
    dt_peer_flush(session, peer);
}

int dt_peer_receive(struct peer *peer)
{
    char bytes[16384];
    struct dt_error err;
    ssize_t n = recv(peer->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n <= 0 || dt_link_feed(&peer->in, bytes, (size_t)n, &err))
        return -1;
    peer->heard = dt_now();
    return 1;
}
