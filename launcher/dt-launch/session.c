/* SPDX-License-Identifier: Apache-2.0 */
/* The session while ranks run: both roles' handling of messages, pings and silence. */
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
#define PING_S      2.0
#define FIRST_PINGS 8 /* close together, for a good clock from the beginning */

/* ---- the lead ------------------------------------------------------------------------------ */

static void refuse(struct dt_session *session, struct peer *peer, const struct dt_error *why)
{
    struct dt_link_message refusal = {.type = DT_LINK_REFUSE, .texts = {(char *)why->text}};
    dt_peer_send(session, peer, &refusal);
    dt_peer_gone(session, peer);
}

static bool is_here(const struct dt_session *session, int node)
{
    for (size_t i = 0; i < session->peer_count; i++) {
        if (session->peers[i]->node == node)
            return true;
    }
    return false;
}

/* Is the one that says hello of this very job? */
static int check_hello(const struct dt_session *session, const long long *said,
                       struct dt_error *err)
{
    const struct dt_place *place = session->place;
    if (said[0] != DT_LINK_VERSION)
        return dt_error_set(err,
                            "it speaks version %lld of the protocol, node 0 version %d: "
                            "use one version of dt on all nodes",
                            said[0], DT_LINK_VERSION);
    if (said[1] != place->job || said[2] != place->step)
        return dt_error_set(err, "job step %lld.%lld is answered on this port, not %lld.%lld",
                            place->job, place->step, said[1], said[2]);
    if (said[4] != place->node_count || said[3] < 1 || said[3] >= place->node_count)
        return dt_error_set(err, "it calls itself node %lld of %lld, and node 0 counts %d nodes",
                            said[3], said[4], place->node_count);
    if (is_here(session, (int)said[3]))
        return dt_error_set(err, "node %lld is here already: two dt-launch with the same node rank",
                            said[3]);
    if (said[5] < 0 || said[6] < 1 || said[5] + said[6] > place->world_size)
        return dt_error_set(err,
                            "it has ranks %lld to %lld, and node 0 counts %d ranks: give the "
                            "same --nproc-per-node on all nodes",
                            said[5], said[5] + said[6] - 1, place->world_size);
    return 0;
}

static void on_hello(struct dt_session *session, struct peer *peer, struct dt_link_message *message)
{
    struct dt_error err = {""};
    if (check_hello(session, message->numbers, &err)) {
        refuse(session, peer, &err);
        return;
    }
    peer->node = (int)message->numbers[3];
    peer->first = (int)message->numbers[5];
    peer->count = (int)message->numbers[6];
    peer->name = message->texts[0];
    message->texts[0] = NULL;
    session->joined++;
    struct dt_link_message welcome = {
        .type = DT_LINK_WELCOME, .numbers = {session->master_port, session->jax_port, dt_now_ns()}};
    dt_peer_send(session, peer, &welcome);
    if (session->stopped)
        dt_peer_send(session, peer, &(struct dt_link_message){.type = DT_LINK_STOP});
    if (session->again)
        dt_peer_send(session, peer,
                     &(struct dt_link_message){.type = DT_LINK_AGAIN, .numbers = {session->again}});
    if (session->verdict >= 0)
        dt_session_verdict(session, session->verdict);
}

static void on_failed(struct dt_session *session, struct peer *peer,
                      struct dt_link_message *message, const struct dt_session_handler *handler)
{
    const long long *n = message->numbers;
    struct dt_failure failure = {.rank = (int)n[0],
                                 .local_rank = (int)n[1],
                                 .node = peer->node,
                                 .pid = (int)n[2],
                                 .status = (int)n[3],
                                 .died_ns = n[4] > 0 ? n[4] : 0,
                                 .said_ns = n[5] > 0 ? n[5] : 0,
                                 .flags = (unsigned)n[6],
                                 .sentence = message->texts[0],
                                 .details = message->texts[1]};
    message->texts[0] = message->texts[1] = NULL;
    (void)session;
    handler->failed(handler->argument, &failure);
}

static void on_member_lost(struct dt_session *session, struct peer *peer, const char *how,
                           const struct dt_session_handler *handler)
{
    bool counted = peer->node >= 0 && (!peer->done || session->again);
    dt_peer_gone(session, peer);
    if (!counted)
        return;
    peer->done = true;
    struct dt_failure failure = {.rank = peer->first,
                                 .node = peer->node,
                                 .status = SIGKILL,
                                 .died_ns = dt_now_ns(),
                                 .flags = DT_FAILURE_LOST};
    if (asprintf(&failure.sentence, "node %s (%d) with ranks %d to %d was lost: %s", peer->name,
                 peer->node, peer->first, peer->first + peer->count - 1, how) < 0)
        failure.sentence = NULL;
    handler->failed(handler->argument, &failure);
}

/* Lines of a member are taken as fast as they can be shown, so that no node's can fill our memory. */
static void thank(struct dt_session *session, struct peer *peer)
{
    struct dt_link_message taken = {.type = DT_LINK_TAKEN, .numbers = {peer->owed}};
    if (peer->owed > 0)
        dt_peer_send(session, peer, &taken);
    peer->owed = 0;
}

static int from_member(struct dt_session *session, struct peer *peer,
                       struct dt_link_message *message, const struct dt_session_handler *handler)
{
    struct dt_link_message pong = {.type = DT_LINK_PONG};
    if ((message->type == DT_LINK_HELLO) != (peer->node < 0))
        return -1;
    switch (message->type) {
    case DT_LINK_HELLO:
        on_hello(session, peer, message);
        return 0;
    case DT_LINK_PING:
        pong.numbers[0] = message->numbers[0];
        pong.numbers[1] = dt_now_ns();
        dt_peer_send(session, peer, &pong);
        return 0;
    case DT_LINK_FAILED:
        on_failed(session, peer, message, handler);
        return 0;
    case DT_LINK_DONE:
        peer->done = true;
        peer->left = (int)message->numbers[1];
        return 0;
    case DT_LINK_FINISHED:
        handler->finished(handler->argument);
        return 0;
    case DT_LINK_LINE:
        peer->owed += (long long)strlen(message->texts[1]);
        if (handler->line(handler->argument, message))
            thank(session, peer);
        return 0;
    case DT_LINK_RANK:
    case DT_LINK_TOLD:
    case DT_LINK_PULSE:
    case DT_LINK_PACE:
    case DT_LINK_SEEN:
    case DT_LINK_WIRE:
    case DT_LINK_WARNED:
    case DT_LINK_SAVED:
        handler->heard(handler->argument, message, peer->name);
        return 0;
    default:
        return -1;
    }
}

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

void dt_session_ping(struct dt_session *session)
{
    struct dt_link_message question = {.type = DT_LINK_PING, .numbers = {dt_now_ns()}};
    if (dt_now() < session->next_ping)
        return;
    session->next_ping = dt_now() + PING_S;
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
        on_member_lost(session, peer, how, handler);
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
        result = session->leads ? from_member(session, peer, &message, handler)
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
        if (peer->fd >= 0 && dt_now() - peer->heard < session->patience - PING_S)
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
        thank(session, session->peers[i]);
    if (!session->leads && session->peers[0]->fd >= 0)
        dt_session_ping(session);
}

static void tell_all(struct dt_session *session, const struct dt_link_message *message)
{
    for (size_t i = 0; i < session->peer_count; i++) {
        if (session->peers[i]->node >= 0)
            dt_peer_send(session, session->peers[i], message);
    }
}

void dt_session_stop(struct dt_session *session)
{
    if (session->stopped || !session->leads)
        return;
    session->stopped = true;
    tell_all(session, &(struct dt_link_message){.type = DT_LINK_STOP});
}

void dt_session_verdict(struct dt_session *session, int code)
{
    session->verdict = code;
    tell_all(session, &(struct dt_link_message){.type = DT_LINK_VERDICT, .numbers = {code}});
}

void dt_session_again(struct dt_session *session, int restarts)
{
    session->again = restarts;
    tell_all(session, &(struct dt_link_message){.type = DT_LINK_AGAIN, .numbers = {restarts}});
}

void dt_session_start(struct dt_session *session, int restarts)
{
    session->again = 0;
    session->stopped = false;
    session->verdict = -1;
    if (session->server)
        dt_server_renew(session->server);
    for (size_t i = 0; session->leads && i < session->peer_count; i++) {
        if (session->peers[i]->fd >= 0)
            session->peers[i]->done = false;
    }
    if (session->leads)
        tell_all(session, &(struct dt_link_message){.type = DT_LINK_START, .numbers = {restarts}});
}

const char *dt_session_unclean(const struct dt_session *session)
{
    for (size_t i = 0; i < session->peer_count; i++) {
        if (session->peers[i]->left > 0)
            return session->peers[i]->name;
    }
    return NULL;
}

const char *dt_session_node(const struct dt_session *session, int node)
{
    if (node == session->place->node_rank)
        return session->place->node_name;
    for (size_t i = 0; i < session->peer_count; i++) {
        if (session->peers[i]->node == node && session->peers[i]->name)
            return session->peers[i]->name;
    }
    return NULL;
}

void dt_session_ask(struct dt_session *session, long long query)
{
    tell_all(session, &(struct dt_link_message){.type = DT_LINK_WHO, .numbers = {query}});
}

void dt_session_broadcast(struct dt_session *session, const struct dt_link_message *message)
{
    if (session->leads)
        tell_all(session, message);
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
