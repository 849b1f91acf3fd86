/* SPDX-License-Identifier: Apache-2.0 */
/* The lead's side of a session: members that say hello, what they tell, and what all of them are told. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fold/ranks.h"
#include "session_internal.h"

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
    char span[DT_RANKS_SPAN];
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
                            "it has %s, and node 0 counts %d ranks: give the same "
                            "--nproc-per-node on all nodes",
                            dt_ranks_span(span, said[5], said[5] + said[6] - 1), place->world_size);
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

void dt_session_member_lost(struct dt_session *session, struct peer *peer, const char *how,
                            const struct dt_session_handler *handler)
{
    char span[DT_RANKS_SPAN];
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
    if (asprintf(&failure.sentence, "node %s (%d) with %s was lost: %s", peer->name, peer->node,
                 dt_ranks_span(span, peer->first, peer->first + peer->count - 1), how) < 0)
        failure.sentence = NULL;
    handler->failed(handler->argument, &failure);
}

/* Lines of a member are taken as fast as they can be shown, so that no node's can fill our memory. */
void dt_session_thank(struct dt_session *session, struct peer *peer)
{
    struct dt_link_message taken = {.type = DT_LINK_TAKEN, .numbers = {peer->owed}};
    if (peer->owed > 0)
        dt_peer_send(session, peer, &taken);
    peer->owed = 0;
}

int dt_session_from_member(struct dt_session *session, struct peer *peer,
                           struct dt_link_message *message,
                           const struct dt_session_handler *handler)
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
        handler->line(handler->argument, message);
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

/* ---- to all members ------------------------------------------------------------------------ */

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
