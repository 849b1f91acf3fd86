/* SPDX-License-Identifier: Apache-2.0 */
/* How a session begins: node 0 serves, the others find it. A member tries the ports that node 0 may
 * have taken, in turn, until one answers as the dt-launch of this very job. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hosts.h"
#include "session_internal.h"

#define CONNECT_MS  1000
#define WELCOME_MS  3000
#define PAUSE_MIN   10000 /* us, between rounds over all ports */
#define PAUSE_MAX   500000
#define SAY_AFTER_S 10.0
#define GIVE_UP_S   600.0 /* as torchrun */

static struct dt_session *create(const struct dt_place *place, bool leads, struct dt_error *err)
{
    struct dt_session *session = calloc(1, sizeof *session);
    if (!session) {
        dt_error_set(err, "out of memory");
        return NULL;
    }
    session->place = place;
    session->leads = leads;
    session->verdict = -1;
    session->patience = DT_PATIENCE_S;
    session->agents[0] = session->agents[1] = -1;
    session->poll = epoll_create1(EPOLL_CLOEXEC);
    if (session->poll >= 0)
        return session;
    dt_error_set(err, "epoll: %s", strerror(errno));
    dt_session_close(session);
    return NULL;
}

/* ---- the lead ------------------------------------------------------------------------------ */

static int open_agents(struct dt_session *session, struct dt_error *err)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (pipe2(session->agents, O_CLOEXEC | O_NONBLOCK) ||
        epoll_ctl(session->poll, EPOLL_CTL_ADD, session->agents[0], &event))
        return dt_error_set(err, "a pipe can not be made: %s", strerror(errno));
    return 0;
}

struct dt_session *dt_session_lead(const struct dt_place *place, struct dt_master *master,
                                   struct dt_error *err)
{
    struct dt_session *session = create(place, true, err);
    if (!session || master->listener < 0)
        return session;
    session->expected = place->node_count - 1;
    session->master_port = master->port;
    session->jax_port = master->jax_port;
    if (open_agents(session, err) == 0) {
        session->server = dt_server_start(master->listener, session->agents[1], err);
        master->listener = -1;
    }
    if (session->server)
        return session;
    dt_session_close(session);
    return NULL;
}

/* ---- a member: where node 0 is ------------------------------------------------------------- */

/* ---- a member: its hello ------------------------------------------------------------------- */

static int try_connect(union address *address, int port)
{
    int why = 0, fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    socklen_t length = sizeof why;
    if (fd < 0)
        return -1;
    address_set_port(address, port);
    if (connect(fd, &address->any, address_length(address)) == 0)
        return fd;
    struct pollfd ready = {.fd = fd, .events = POLLOUT};
    if (errno == EINPROGRESS && poll(&ready, 1, CONNECT_MS) == 1 &&
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &why, &length) == 0 && why == 0)
        return fd;
    close(fd);
    return -1;
}

static void say_hello(struct dt_session *session, struct peer *peer)
{
    const struct dt_place *place = session->place;
    struct dt_link_message hello = {.type = DT_LINK_HELLO,
                                    .numbers = {DT_LINK_VERSION, place->job, place->step,
                                                place->node_rank, place->node_count, place->rank,
                                                place->processes},
                                    .texts = {place->node_name}};
    dt_peer_send(session, peer, &hello);
}

/* 1: welcome; 0: whatever is there is not our lead; -1: the lead refuses. */
static int hear_answer(struct dt_session *session, struct peer *peer, struct dt_master *master,
                       long long asked_ns, struct dt_error *err)
{
    struct dt_link_message message;
    struct dt_error unused;
    double until = dt_now() + WELCOME_MS / 1e3;
    int result = 0;
    while (result == 0 && dt_now() < until) {
        struct pollfd ready = {.fd = peer->fd, .events = POLLIN};
        if (poll(&ready, 1, WELCOME_MS) > 0 && dt_peer_receive(peer) < 0)
            return 0;
        result = dt_link_next(&peer->in, &message, &unused);
    }
    if (result != 1)
        return 0;
    result = message.type == DT_LINK_WELCOME ? 1 : message.type == DT_LINK_REFUSE ? -1 : 0;
    if (result > 0) {
        master->port = (int)message.numbers[0];
        master->jax_port = (int)message.numbers[1];
        dt_link_clock_add(&session->clock, asked_ns, message.numbers[2], dt_now_ns());
    } else if (result < 0) {
        dt_error_set(err, "node 0 does not take this node: %s", message.texts[0]);
    }
    dt_link_message_fini(&message);
    return result;
}

/* 1: joined; 0: not there (yet); -1: refused. */
static int try_port(struct dt_session *session, union address *address, int port,
                    struct dt_master *master, struct dt_error *err)
{
    int fd = try_connect(address, port);
    struct peer *peer = fd < 0 ? NULL : dt_peer_add(session, fd);
    if (!peer)
        return 0;
    long long asked_ns = dt_now_ns();
    say_hello(session, peer);
    int result = hear_answer(session, peer, master, asked_ns, err);
    if (result == 1) {
        dt_session_ping(session); /* ranks may fail before the loop has come round once */
        return 1;
    }
    dt_peer_gone(session, peer);
    dt_peer_free(peer);
    session->peer_count--;
    return result;
}

static void say_waiting(const struct dt_session *session, const struct dt_master *master,
                        double seconds)
{
    const char *first = session->place->first_node;
    dprintf(STDERR_FILENO,
            "dt-launch: node %s waits for node 0 (%s) for %.0f s: no dt-launch of this job answers "
            "at %s port %d%s\n",
            session->place->node_name, first ? first : master->addr, seconds, master->addr,
            master->candidates[0], master->candidate_count > 1 ? " or those after it" : "");
}

static int join(struct dt_session *session, struct dt_master *master, struct dt_error *err)
{
    union address address;
    double began = dt_now(), say_at = began + SAY_AFTER_S;
    useconds_t pause = PAUSE_MIN;
    for (;;) {
        bool known = dt_hosts_address(&address, master->addr);
        for (int i = 0; known && i < master->candidate_count; i++) {
            int result = try_port(session, &address, master->candidates[i], master, err);
            if (result)
                return result > 0 ? 0 : -1;
        }
        double waited = dt_now() - began;
        if (!known && waited > SAY_AFTER_S)
            return dt_error_set(err,
                                "the name \"%s\" of node 0 can not be resolved on this node: give "
                                "MASTER_ADDR or --master-addr as a numeric address",
                                master->addr);
        if (waited > (master->patience_s > 0 ? master->patience_s : GIVE_UP_S))
            return dt_error_set(err,
                                "node 0 (%s) did not answer for %.0f s: was its dt-launch "
                                "started, and can its port %d be reached?",
                                master->addr, waited, master->candidates[0]);
        if (dt_now() >= say_at) {
            say_waiting(session, master, waited);
            say_at = dt_now() + waited; /* after 10, 20, 40 ... s */
        }
        usleep(pause);
        pause = pause * 2 < PAUSE_MAX ? pause * 2 : PAUSE_MAX;
    }
}

struct dt_session *dt_session_member(const struct dt_place *place, struct dt_master *master,
                                     struct dt_error *err)
{
    struct dt_session *session = create(place, false, err);
    if (session && join(session, master, err) == 0) {
        session->master_port = master->port;
        return session;
    }
    dt_session_close(session);
    return NULL;
}
