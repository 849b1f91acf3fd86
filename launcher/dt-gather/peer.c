/* SPDX-License-Identifier: Apache-2.0 */
/* Connections: who they are, what they report, and what is done with strangers. */
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "gather.h"

struct peer {
    struct gather *gather;
    struct peer *next, *previous;
    struct bufferevent *stream;
    struct event *hello_deadline; /* NULL after the hello */
    struct dt_frames frames;
    struct node *node; /* NULL before the hello */
    bool waits;        /* for the verdict's bytes to leave */
    bool counted;      /* its refusal is in another count than that of strangers */
    char address[INET6_ADDRSTRLEN];
};

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
        roster_lose(g, node, DT_LOST_LEFT, "closed its connection after its report");
    else if (!node->settled && node->connections == 0)
        roster_lose(g, node, DT_LOST_FAILED, "closed its connection before its report");
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
    bufferevent_free(peer->stream);
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

static int send_object(struct peer *peer, json_t *object, struct dt_error *err)
{
    unsigned char *bytes;
    size_t len;
    int rc = object ? dt_frame_encode(object, &bytes, &len, err) : -1;
    json_decref(object);
    if (rc < 0)
        return -1;
    rc = bufferevent_write(peer->stream, bytes, len);
    free(bytes);
    return rc;
}

static int send_welcome(struct peer *peer, struct dt_error *err)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    json_int_t us = (json_int_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
    return send_object(peer, json_pack("{s:s,s:I}", "type", "welcome", "clock_us", us), err);
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
    if (node->reported) { /* as a rule one of its other addresses, too late to matter */
        peer->counted = true;
        return dt_error_set(err, "node %s has reported already", node->name);
    }
    if (node->settled && !node->failed_code && !g->decided)
        roster_unsettle(g, node); /* it is back */
    peer->node = node;
    node->connections++;
    gather_first_hello(g);
    event_free(peer->hello_deadline);
    peer->hello_deadline = NULL;
    peer->frames.limit = DT_WIRE_FRAME_MAX;
    return send_welcome(peer, err);
}

static int read_report(struct node *node, const json_t *object, struct dt_error *err)
{
    json_t *facts = NULL, *checks = NULL;
    const char *env = "";
    json_int_t took = 0;
    json_error_t why;
    if (json_unpack_ex((json_t *)object, &why, 0, "{s:o,s:o,s:s,s:i,s:I}", "facts", &facts,
                       "checks", &checks, "env", &env, "port", &node->port, "took_us", &took) < 0)
        return dt_error_set(err, "sent a report of a wrong shape: %s", why.text);
    if (node->port < 0 || node->port > 65535 || !json_is_array(checks))
        return dt_error_set(err, "sent a report with impossible values");
    if (dt_facts_from_json(&node->facts, facts, err) < 0 ||
        dt_check_results_from_json(&node->checks, checks, err) < 0)
        return dt_error_prefix(err, "sent a report that can not be used");
    node->took_us = (long)took;
    node->env_summary = strdup(env);
    return 0;
}

static int take_report(struct peer *peer, const json_t *object, struct dt_error *err)
{
    struct gather *g = peer->gather;
    struct node *node = peer->node;
    if (read_report(node, object, err) < 0) {
        roster_lose(g, node, DT_LOST_FAILED, err->text);
        return -1;
    }
    node->reported = true;
    node->reporter = peer;
    memcpy(node->address, peer->address, sizeof node->address);
    roster_settle(g, node);
    return 0;
}

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
    roster_lose(peer->gather, peer->node, DT_LOST_FAILED, sentence.text);
    return 0;
}

static int take_object(struct peer *peer, const json_t *object, struct dt_error *err)
{
    if (!peer->node)
        return take_hello(peer, object, err);
    if (!peer->gather->decided && !peer->node->reported && dt_message_is(object, "report"))
        return take_report(peer, object, err);
    if (!peer->gather->decided && !peer->node->settled && dt_message_is(object, "failed"))
        return take_failed(peer, object, err);
    if (peer->node->reporter && peer->node->reporter != peer && dt_message_is(object, "report"))
        peer->gather->second_reports++;
    return dt_error_set(err, "a message out of turn");
}

static int take_bytes(struct peer *peer, struct dt_error *err)
{
    struct evbuffer *input = bufferevent_get_input(peer->stream);
    struct evbuffer_iovec piece;
    int rc = 0;
    while (rc == 0 && evbuffer_peek(input, -1, NULL, &piece, 1) > 0 && piece.iov_len > 0) {
        size_t len = piece.iov_len;
        rc = dt_frames_feed(&peer->frames, piece.iov_base, len, err);
        evbuffer_drain(input, len);
        json_t *object;
        int more = 0;
        while (rc == 0 && (more = dt_frames_next(&peer->frames, &object, err)) == 1) {
            rc = take_object(peer, object, err);
            json_decref(object);
        }
        if (more < 0)
            rc = -1;
    }
    return rc;
}

static void on_read(struct bufferevent *stream, void *context)
{
    (void)stream;
    struct peer *peer = context;
    struct gather *g = peer->gather;
    struct dt_error err; /* counted, not printed: strangers must not fill a terminal */
    if (take_bytes(peer, &err) < 0) {
        g->strangers += !peer->node && !peer->counted;
        peer_close(peer);
    }
    maybe_judge(g);
}

static void on_event(struct bufferevent *stream, short what, void *context)
{
    (void)stream;
    (void)what; /* end of file or an error: gone */
    struct peer *peer = context;
    struct gather *g = peer->gather;
    peer_close(peer);
    maybe_judge(g);
}

/* The output is empty: after the verdict, this peer is served. */
static void on_written(struct bufferevent *stream, void *context)
{
    (void)stream;
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
static bool peer_create(struct gather *g, int fd, const struct sockaddr_storage *address)
{
    static const struct timeval patience = {.tv_sec = HELLO_SECONDS};
    struct peer *peer = calloc(1, sizeof *peer);
    if (!peer) {
        close(fd);
        return false;
    }
    peer->gather = g;
    dt_frames_init(&peer->frames, DT_WIRE_HELLO_MAX);
    name_address(peer, address);
    peer->stream = bufferevent_socket_new(g->base, fd, BEV_OPT_CLOSE_ON_FREE);
    peer->hello_deadline = evtimer_new(g->base, on_hello_deadline, peer);
    if (!peer->stream || !peer->hello_deadline) {
        if (peer->stream)
            bufferevent_free(peer->stream);
        else
            close(fd);
        if (peer->hello_deadline)
            event_free(peer->hello_deadline);
        free(peer);
        return false;
    }
    evtimer_add(peer->hello_deadline, &patience);
    bufferevent_setcb(peer->stream, on_read, on_written, on_event, peer);
    bufferevent_enable(peer->stream, EV_READ | EV_WRITE);
    peer->next = g->peers;
    if (g->peers)
        g->peers->previous = peer;
    g->peers = peer;
    g->peer_count++;
    return true;
}

static size_t most_peers(const struct gather *g)
{
    return g->node_count * 4 + 64;
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
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
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
        if (!p->node || bufferevent_write(p->stream, bytes, len) < 0)
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
