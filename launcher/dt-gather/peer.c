/* SPDX-License-Identifier: Apache-2.0 */
/* Connections: who they are, what they report, and what is done with strangers. */
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/exitcode.h"
#include "gather.h"
#include "report/detail.h"
#include "report/message.h"
#include "stream.h"

struct peer {
    struct gather *gather;
    struct peer *next, *previous;
    struct stream stream;
    struct event *hello_deadline; /* NULL after the hello */
    struct dt_frames frames;
    struct node *node; /* NULL before the hello */
    bool waits;        /* for the verdict's bytes to leave */
    bool counted;      /* its refusal is in another count than that of strangers */
    char address[INET6_ADDRSTRLEN];
};

static const struct timeval hello_patience = {.tv_sec = HELLO_SECONDS};

static void lose_node(struct peer *peer)
{
    struct gather *g = peer->gather;
    struct node *node = peer->node;
    node->connections--;
    bool reporter = node->reporter == peer;
    if (reporter)
        node->reporter = NULL;
    if (g->decided)
        return;
    if (reporter && node->reported)
        roster_lose_unexplained(g, node, DT_LOST_LEFT, "closed its connection after its report");
    else if (!node->settled && node->connections == 0)
        roster_lose_unexplained(g, node, DT_LOST_FAILED, "closed its connection before its report");
}

static void peer_close(struct peer *peer)
{
    struct gather *g = peer->gather;
    if (peer->node)
        lose_node(peer);
    if (peer->waits)
        g->unsent--;
    if (peer->hello_deadline)
        event_free(peer->hello_deadline);
    stream_fini(&peer->stream);
    dt_frames_fini(&peer->frames);
    if (peer->previous)
        peer->previous->next = peer->next;
    else
        g->peers = peer->next;
    if (peer->next)
        peer->next->previous = peer->previous;
    g->peer_count--;
    free(peer);
    if (g->decided && g->unsent == 0)
        event_base_loopbreak(g->base);
}

/* After a peer went or spoke: is that the end? */
static void maybe_judge(struct gather *g)
{
    if (!g->decided && roster_complete(g))
        judge(g);
}

static int send_welcome(struct peer *peer, struct dt_error *err)
{
    struct timespec now;
    unsigned char *bytes = NULL;
    size_t len = 0;
    clock_gettime(CLOCK_REALTIME, &now);
    json_int_t us = (json_int_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
    json_t *welcome = json_pack("{s:s,s:I,s:b}", "type", "welcome", "clock_us", us, "full",
                                peer->gather->options.report != NULL);
    int rc =
        welcome ? dt_frame_encode(welcome, &bytes, &len, err) : dt_error_set(err, "out of memory");
    json_decref(welcome);
    if (rc < 0 || !bytes)
        return -1;
    rc = stream_send(&peer->stream, bytes, len);
    free(bytes);
    return rc < 0 ? dt_error_set(err, "it does not listen") : 0;
}

static int take_hello(struct peer *peer, const json_t *object, struct dt_error *err)
{
    struct gather *g = peer->gather;
    struct dt_hello hello;
    if (dt_hello_from_json(&hello, object, err) < 0)
        return -1;
    if (!dt_token_equal(hello.token, g->token)) {
        g->wrong_tokens++;
        peer->counted = true;
        return dt_error_set(err, "wrong token");
    }
    struct node *node = roster_find(g, &hello, err);
    if (!node)
        return -1;
    if (node->report.lost && !node->failed_code && !g->decided)
        roster_unsettle(g, node); /* it is back */
    peer->node = node;
    node->connections++;
    gather_first_hello(g);
    event_free(peer->hello_deadline);
    peer->hello_deadline = NULL;
    peer->frames.limit = DT_WIRE_FRAME_MAX;
    return send_welcome(peer, err);
}

static int take_report(struct peer *peer, const json_t *object, struct dt_error *err)
{
    struct gather *g = peer->gather;
    struct node *node = peer->node;
    if (dt_report_take(&node->report, &node->port, object, err) < 0) {
        roster_lose(g, node, DT_LOST_FAILED, err->text);
        return -1;
    }
    node->reported = true;
    node->reporter = peer;
    memcpy(node->address, peer->address, sizeof node->address);
    roster_settle(g, node);
    return 0;
}

/* Said by dt-node, or by the plugin for a dt-node that is gone, whether or not it had reported. */
static int take_failed(struct peer *peer, const json_t *object, struct dt_error *err)
{
    int code = 0;
    const char *reason = NULL;
    struct dt_error sentence;
    if (json_unpack((json_t *)object, "{s:i,s:s}", "code", &code, "reason", &reason) < 0 ||
        code < 1 || code > 255)
        return dt_error_set(err, "a 'failed' of a wrong shape");
    dt_error_set(&sentence, "could not check itself: %s", reason);
    peer->node->failed_code = code;
    roster_lose(peer->gather, peer->node, code == DT_EXIT_CONFIG ? DT_LOST_CONFIG : DT_LOST_FAILED,
                sentence.text);
    return 0;
}

static int take_object(struct peer *peer, const json_t *object, struct dt_error *err)
{
    struct gather *g = peer->gather;
    struct node *node = peer->node;
    if (!node)
        return take_hello(peer, object, err);
    if (!g->decided && !node->settled && dt_message_is(object, "report"))
        return take_report(peer, object, err);
    if (!g->decided && !node->failed_code && dt_message_is(object, "failed"))
        return take_failed(peer, object, err);
    if (node->reporter && node->reporter != peer && dt_message_is(object, "report"))
        g->second_reports++;
    return dt_error_set(err, "a message out of turn");
}

/* Ahead of its report, and only where it was asked for. */
static int take_detail(struct peer *peer, const char *text, size_t len, struct dt_error *err)
{
    struct gather *g = peer->gather;
    struct node *node = peer->node;
    if (g->decided || node->settled || !g->options.report || node->report.detail)
        return dt_error_set(err, "details out of turn");
    if (dt_detail_take(&node->report.detail, text, len, err) == 0)
        return 0;
    roster_lose(g, node, DT_LOST_FAILED, err->text);
    return -1;
}

static int take_frame(struct peer *peer, const char *text, size_t len, struct dt_error *err)
{
    json_t *object;
    if (peer->node && dt_detail_is(text, len))
        return take_detail(peer, text, len, err);
    if (dt_frame_decode(&object, text, len, err) < 0)
        return -1;
    int rc = take_object(peer, object, err);
    json_decref(object);
    return rc;
}

static int take_bytes(struct peer *peer, const void *bytes, size_t len, struct dt_error *err)
{
    int rc = dt_frames_feed(&peer->frames, bytes, len, err);
    const char *text;
    size_t text_len;
    int more = 0;
    while (rc == 0 && (more = dt_frames_next_text(&peer->frames, &text, &text_len, err)) == 1)
        rc = take_frame(peer, text, text_len, err);
    if (more == 0 && peer->frames.start == peer->frames.len)
        dt_frames_fini(&peer->frames); /* with ten thousand peers, buffers that wait add up */
    return more < 0 ? -1 : rc;
}

static void on_read(evutil_socket_t fd, short what, void *context)
{
    (void)what;
    struct peer *peer = context;
    struct gather *g = peer->gather;
    struct dt_error err; /* counted, not printed: strangers must not fill a terminal */
    char chunk[65536];
    ssize_t n = recv((int)fd, chunk, sizeof chunk, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        peer_close(peer);
    } else if (take_bytes(peer, chunk, (size_t)n, &err) < 0) {
        g->strangers += !peer->node && !peer->counted;
        peer_close(peer);
    }
    maybe_judge(g);
}

/* All that was sent has left: after the verdict, this peer is served. */
static void on_sent(void *context)
{
    struct peer *peer = context;
    struct gather *g = peer->gather;
    if (!peer->waits)
        return;
    peer->waits = false;
    if (--g->unsent == 0)
        event_base_loopbreak(g->base);
}

static void on_hello_deadline(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    struct peer *peer = context;
    char byte;
    if (recv(peer->stream.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0) {
        evtimer_add(peer->hello_deadline, &hello_patience); /* it spoke: this end is the slow one */
        return;
    }
    peer->gather->strangers++;
    peer_close(peer);
}

static void name_address(struct peer *peer, const struct sockaddr_storage *address)
{
    const void *bytes = address->ss_family == AF_INET6
                            ? (const void *)&((const struct sockaddr_in6 *)address)->sin6_addr
                            : (const void *)&((const struct sockaddr_in *)address)->sin_addr;
    evutil_inet_ntop(address->ss_family, bytes, peer->address, sizeof peer->address);
}

/* Owns fd, also when it fails. */
static void peer_create(struct gather *g, int fd, const struct sockaddr_storage *address)
{
    struct peer *peer = calloc(1, sizeof *peer);
    if (!peer) {
        close(fd);
        return;
    }
    peer->gather = g;
    dt_frames_init(&peer->frames, DT_WIRE_HELLO_MAX);
    name_address(peer, address);
    peer->hello_deadline = evtimer_new(g->base, on_hello_deadline, peer);
    if (stream_init(&peer->stream, g->base, fd, on_read, on_sent, peer) < 0 ||
        !peer->hello_deadline) {
        if (peer->hello_deadline)
            event_free(peer->hello_deadline);
        stream_fini(&peer->stream);
        free(peer);
        return;
    }
    evtimer_add(peer->hello_deadline, &hello_patience);
    peer->next = g->peers;
    if (g->peers)
        g->peers->previous = peer;
    g->peers = peer;
    g->peer_count++;
}

static size_t most_peers(const struct gather *g)
{
    return g->node_count * 4 + 64;
}

/* A node that dies without a word while others are waited for is found after about 4 s. The kernel
 * asks all connections of one moment at one moment, and queues on the way hold about a thousand
 * packets: of ten thousand nodes the same ones would go unasked time and again, and be taken for dead.
 * So with many nodes they are asked in turn, KEEPALIVES of them a second. */
static void set_manners(const struct gather *g, int fd)
{
    static const int on = 1, probes = 3;
    int turns = 1 + (int)(g->node_count / KEEPALIVES);
    int first = 1 + (int)(g->peer_count % (size_t)turns);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &first, sizeof first);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &turns, sizeof turns);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
}

void peer_accept(evutil_socket_t listener, short what, void *context)
{
    (void)what;
    struct gather *g = context;
    for (;;) {
        struct sockaddr_storage address = {0};
        socklen_t len = sizeof address;
        int fd =
            accept4((int)listener, (struct sockaddr *)&address, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return;
        if (g->first_connection == 0)
            g->first_connection = gather_now();
        set_manners(g, fd);
        if (!g->decided && g->peer_count < most_peers(g)) {
            peer_create(g, fd, &address);
            continue;
        }
        g->strangers++;
        close(fd);
    }
}

void peers_send_verdict(struct gather *g, const json_t *verdict)
{
    unsigned char *bytes = NULL;
    size_t len = 0;
    struct dt_error err;
    if (dt_frame_encode(verdict, &bytes, &len, &err) < 0)
        return;
    for (struct peer *p = g->peers; p; p = p->next) {
        if (!p->node || stream_send(&p->stream, bytes, len) <= 0)
            continue;
        p->waits = true;
        g->unsent++;
    }
    free(bytes);
}

void peers_fini(struct gather *g)
{
    g->decided = true; /* nobody is lost any more */
    for (struct peer *next, *p = g->peers; p; p = next) {
        next = p->next;
        peer_close(p);
    }
}
