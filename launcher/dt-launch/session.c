/* SPDX-License-Identifier: Apache-2.0 */
/* The session while ranks run: a member's messages and pings, and what both roles do about silence. The lead's side is in
 * session_lead.c. */
#include "session.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "session_internal.h"

#define EVENTS      64
#define PING_S      2.0 /* or a quarter of the patience: one that is late is not silent */
#define LINES_BYTES 65536
#define FIRST_PINGS 8 /* close together, for a good clock from the beginning */

/* ---- a member ------------------------------------------------------------------------------ */

static int from_lead(struct dt_session *session, struct dt_link_message *message,
                     const struct dt_session_handler *handler)
{
    switch (message->type) {
    case DT_LINK_PONG:
        dt_link_clock_add(&session->clock, message->numbers[0], message->numbers[1], dt_now_ns());
        if (session->clock.samples < FIRST_PINGS)
            session->next_ping = 0;
        return 0;
    case DT_LINK_TAKEN:
        handler->taken(handler->argument, message->numbers[0]);
        return 0;
    case DT_LINK_STOP:
        handler->stop(handler->argument);
        return 0;
    case DT_LINK_WHO:
        handler->who(handler->argument, message->numbers[0]);
        return 0;
    case DT_LINK_AGAIN:
        handler->again(handler->argument, (int)message->numbers[0]);
        return 0;
    case DT_LINK_START:
        handler->start(handler->argument, (int)message->numbers[0]);
        return 0;
    case DT_LINK_LOOK:
    case DT_LINK_GIVE_UP:
    case DT_LINK_SAVE:
        handler->told(handler->argument, message);
        return 0;
    case DT_LINK_VERDICT:
        session->verdict = (int)(message->numbers[0] & 0xff);
        handler->verdict(handler->argument, session->verdict);
        return 0;
    default:
        return -1;
    }
}

static double ping_s(const struct dt_session *session)
{
    return session->patience < 4 * PING_S ? session->patience / 4 : PING_S;
}

void dt_session_ping(struct dt_session *session)
{
    struct dt_link_message question = {.type = DT_LINK_PING, .numbers = {dt_now_ns()}};
    if (dt_now() < session->next_ping)
        return;
    session->next_ping = dt_now() + ping_s(session);
    dt_peer_send(session, session->peers[0], &question);
}

void dt_session_report(struct dt_session *session, const struct dt_failure *failure)
{
    long long ahead = session->clock.offset_ns;
    struct dt_link_message message = {
        .type = DT_LINK_FAILED,
        .numbers = {failure->rank, failure->local_rank, failure->pid, failure->status,
                    failure->died_ns + ahead, failure->said_ns ? failure->said_ns + ahead : 0,
                    failure->flags},
        .texts = {failure->sentence, failure->details},
    };
    dt_peer_send(session, session->peers[0], &message);
}

void dt_session_tell(struct dt_session *session, const struct dt_link_message *message)
{
    dt_peer_send(session, session->peers[0], message);
}

void dt_session_tell_lines(struct dt_session *session, const struct dt_link_message *message)
{
    struct peer *lead = session->peers[0];
    if (message && lead->fd >= 0)
        dt_link_encode(&lead->out, message);
    if (!message || lead->out.len > LINES_BYTES)
        dt_peer_flush(session, lead);
}

void dt_session_done(struct dt_session *session, int code, int left)
{
    struct dt_link_message message = {.type = DT_LINK_DONE, .numbers = {code, left}};
    dt_peer_send(session, session->peers[0], &message);
}

/* ---- both ---------------------------------------------------------------------------------- */

static void lose(struct dt_session *session, struct peer *peer, const char *how,
                 const struct dt_session_handler *handler)
{
    if (session->leads) {
        dt_session_member_lost(session, peer, how, handler);
    } else if (peer->fd >= 0) {
        dt_peer_gone(session, peer);
        handler->lead_lost(handler->argument);
    }
}

static void take_messages(struct dt_session *session, struct peer *peer,
                          const struct dt_session_handler *handler)
{
    struct dt_link_message message;
    struct dt_error err = {""};
    int result = 0;
    while (peer->fd >= 0 && (result = dt_link_next(&peer->in, &message, &err)) == 1) {
        result = session->leads ? dt_session_from_member(session, peer, &message, handler)
                                : from_lead(session, &message, handler);
        dt_link_message_fini(&message);
        if (result)
            break;
    }
    if (result)
        lose(session, peer, "it sent what is no message of dt-launch", handler);
}

static void take_members(struct dt_session *session)
{
    int fd;
    while (read(session->agents[0], &fd, sizeof fd) == (ssize_t)sizeof fd)
        dt_peer_add(session, fd);
}

static void on_event(struct dt_session *session, const struct epoll_event *event,
                     const struct dt_session_handler *handler)
{
    struct peer *peer = event->data.ptr;
    if (!peer) {
        take_members(session);
        return;
    }
    if (peer->fd >= 0 && event->events & EPOLLOUT)
        dt_peer_flush(session, peer);
    if (peer->fd < 0 || !(event->events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
        return;
    int result = dt_peer_receive(peer);
    if (result > 0)
        take_messages(session, peer, handler);
    else if (result < 0)
        lose(session, peer, "its dt-launch was killed, or the node went down", handler);
}

/* Two nodes at least, and no other speaks: it is rather we who do not hear. They ping at different moments. */
static bool all_are_silent(const struct dt_session *session)
{
    int silent = 0;
    for (size_t i = 0; i < session->peer_count; i++) {
        const struct peer *peer = session->peers[i];
        if (peer->fd >= 0 && dt_now() - peer->heard < session->patience - ping_s(session))
            return false;
        silent += peer->fd >= 0;
    }
    return silent > 1;
}

static void drop_silent(struct dt_session *session, const struct dt_session_handler *handler)
{
    char how[192];
    if (session->leads && all_are_silent(session))
        snprintf(how, sizeof how,
                 "none of the other nodes has said anything for %.0f s, so it is rather the "
                 "network of node %.60s that is down",
                 session->patience, session->place->node_name);
    else
        snprintf(how, sizeof how,
                 "it has said nothing for %.0f s, so its network or the node is down",
                 session->patience);
    for (size_t i = 0; i < session->peer_count; i++) {
        struct peer *peer = session->peers[i];
        if (peer->fd >= 0 && dt_now() - peer->heard > session->patience)
            lose(session, peer, how, handler);
    }
}

void dt_session_work(struct dt_session *session, const struct dt_session_handler *handler)
{
    struct epoll_event events[EVENTS];
    int count;
    do {
        count = epoll_wait(session->poll, events, EVENTS, 0);
        for (int i = 0; i < count; i++)
            on_event(session, &events[i], handler);
    } while (count == EVENTS);
    drop_silent(session, handler);
    bool room = session->leads && handler->line(handler->argument, NULL);
    for (size_t i = 0; room && i < session->peer_count; i++)
        dt_session_thank(session, session->peers[i]);
    if (!session->leads && session->peers[0]->fd >= 0)
        dt_session_ping(session);
}

long long dt_session_ahead_ns(const struct dt_session *session)
{
    return session->leads ? 0 : session->clock.offset_ns;
}

int dt_session_port(const struct dt_session *session)
{
    return session->master_port;
}

const struct dt_place *dt_session_place(const struct dt_session *session)
{
    return session->place;
}

int dt_session_busy(const struct dt_session *session)
{
    int busy = 0;
    for (size_t i = 0; session->leads && i < session->peer_count; i++)
        busy += session->peers[i]->node >= 0 && !session->peers[i]->done;
    return busy;
}

int dt_session_missing(const struct dt_session *session)
{
    return session->leads ? session->expected - session->joined : 0;
}

int dt_session_connected(const struct dt_session *session)
{
    int connected = 0;
    for (size_t i = 0; session->leads && i < session->peer_count; i++)
        connected += session->peers[i]->node >= 0 && session->peers[i]->fd >= 0;
    return connected;
}

void dt_session_patience(struct dt_session *session, double seconds)
{
    session->patience = seconds;
}

bool dt_session_leads(const struct dt_session *session)
{
    return session->leads;
}

int dt_session_fd(const struct dt_session *session)
{
    return session->poll;
}

struct dt_server *dt_session_server(struct dt_session *session)
{
    return session->server;
}

void dt_session_close(struct dt_session *session)
{
    if (!session)
        return;
    dt_server_stop(session->server);
    for (size_t i = 0; i < session->peer_count; i++)
        dt_peer_free(session->peers[i]);
    free(session->peers);
    int fds[] = {session->poll, session->agents[0], session->agents[1]};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
    }
    free(session);
}
