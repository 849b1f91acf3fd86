/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets for the store: one thread, one epoll, nothing that blocks. Strangers are closed and counted,
 * and can neither stop the ranks nor fill a terminal. */
#include "server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "store/store.h"

#define EVENTS     256
#define READ_BYTES 65536
#define SILENCE_S  5
#define PAUSE_MS   50 /* no accepting for so long when descriptors have run out */
#define OUT_MAX    (64u << 20)

struct connection {
    int fd;
    time_t since;
    bool known;   /* its first byte was seen */
    bool writing; /* waits until it can be written to */
    struct dt_store_client *client;
    struct connection *next, **link;
    char peer[48];
};

struct dt_server {
    int listener, agents, poll;
    int wake; /* eventfd: look at the next two */
    bool quit, renew;
    pthread_cond_t renewed;
    bool paused;
    pthread_t thread;
    pthread_mutex_t lock; /* of all below */
    struct dt_store *store;
    struct connection *connections;
    size_t count;
    unsigned long refused;
    char last_refusal[160];
    char buffer[READ_BYTES];
};

/* ---- connections --------------------------------------------------------------------------- */

static void forget(struct dt_server *server, struct connection *connection)
{
    if (connection->client)
        dt_store_leave(connection->client);
    *connection->link = connection->next;
    if (connection->next)
        connection->next->link = connection->link;
    server->count--;
    free(connection);
}

static void drop(struct dt_server *server, struct connection *connection)
{
    close(connection->fd);
    forget(server, connection);
}

static void refuse(struct dt_server *server, struct connection *connection,
                   const struct dt_error *err)
{
    server->refused++;
    snprintf(server->last_refusal, sizeof server->last_refusal, "%s: %.100s", connection->peer,
             err->text);
    drop(server, connection);
}

static void name_peer(struct connection *connection, const struct sockaddr_storage *peer)
{
    char text[INET6_ADDRSTRLEN] = "?";
    uint16_t port = 0;
    if (peer->ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)peer;
        bool mapped = IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr);
        inet_ntop(mapped ? AF_INET : AF_INET6, v6->sin6_addr.s6_addr + (mapped ? 12 : 0), text,
                  sizeof text);
        port = v6->sin6_port;
    } else if (peer->ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)peer;
        inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text);
        port = v4->sin_port;
    }
    snprintf(connection->peer, sizeof connection->peer, "%.38s:%u", text, ntohs(port));
}

static time_t seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return now.tv_sec;
}

static void welcome(struct dt_server *server, int fd, const struct sockaddr_storage *peer)
{
    int on = 1;
    struct connection *connection = calloc(1, sizeof *connection);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    if (!connection || epoll_ctl(server->poll, EPOLL_CTL_ADD, fd, &event)) {
        free(connection);
        close(fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    connection->fd = fd;
    connection->since = seconds();
    connection->link = &server->connections;
    connection->next = server->connections;
    if (connection->next)
        connection->next->link = &connection->next;
    server->connections = connection;
    server->count++;
    name_peer(connection, peer);
}

static void listen_for_more(struct dt_server *server, bool yes)
{
    struct epoll_event event = {.events = yes ? EPOLLIN : 0, .data.ptr = &server->listener};
    epoll_ctl(server->poll, EPOLL_CTL_MOD, server->listener, &event);
    server->paused = !yes;
}

static void accept_all(struct dt_server *server)
{
    for (;;) {
        struct sockaddr_storage peer = {0};
        socklen_t length = sizeof peer;
        int fd = accept4(server->listener, (struct sockaddr *)&peer, &length,
                         SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0)
            welcome(server, fd, &peer);
        else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
            return listen_for_more(server, false);
        else if (errno != EINTR && errno != ECONNABORTED)
            return;
    }
}

/* Descriptors have run out: those who connected and have not said one whole thing make room. */
static void drop_silent(struct dt_server *server)
{
    for (struct connection *at = server->connections, *next; at; at = next) {
        next = at->next;
        if (!(at->client && dt_store_spoke(at->client)) && seconds() - at->since > SILENCE_S)
            drop(server, at);
    }
}

/* ---- bytes --------------------------------------------------------------------------------- */

static void want_writing(struct dt_server *server, struct connection *connection, bool yes)
{
    struct epoll_event event = {.events = EPOLLIN | (yes ? EPOLLOUT : 0), .data.ptr = connection};
    if (connection->writing != yes)
        epoll_ctl(server->poll, EPOLL_CTL_MOD, connection->fd, &event);
    connection->writing = yes;
}

/* -1: the connection is gone. */
static int flush(struct dt_server *server, struct connection *connection)
{
    struct dt_buf *out = dt_store_output(connection->client);
    size_t at = 0;
    while (at < out->len) {
        ssize_t n = send(connection->fd, out->data + at, out->len - at, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN)
            return -1;
        if (n < 0)
            break;
        at += (size_t)n;
    }
    if (at == out->len) {
        dt_buf_fini(out);
    } else {
        memmove(out->data, out->data + at, out->len - at);
        out->len -= at;
    }
    want_writing(server, connection, out->len > 0);
    return out->len > OUT_MAX ? -1 : 0;
}

static void flush_touched(struct dt_server *server)
{
    struct dt_store_client *client;
    while ((client = dt_store_touched(server->store))) {
        struct connection *connection = dt_store_owner(client);
        if (flush(server, connection))
            drop(server, connection);
    }
}

/* Its first byte tells what it is. -1: it is no client of the store, and has been dealt with. */
static int recognise(struct dt_server *server, struct connection *connection)
{
    char first;
    ssize_t n = recv(connection->fd, &first, 1, MSG_PEEK);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return -1;
    if (n == 1 && first == DT_SERVER_AGENT) {
        int fd = connection->fd;
        epoll_ctl(server->poll, EPOLL_CTL_DEL, fd, NULL);
        forget(server, connection);
        if (write(server->agents, &fd, sizeof fd) != (ssize_t)sizeof fd)
            close(fd);
        return -1;
    }
    if (n == 1)
        connection->client = dt_store_join(server->store, connection);
    connection->known = true;
    if (connection->client)
        return 0;
    drop(server, connection);
    return -1;
}

static void receive(struct dt_server *server, struct connection *connection)
{
    struct dt_error err = {""};
    if (!connection->known && recognise(server, connection))
        return;
    ssize_t n = recv(connection->fd, server->buffer, sizeof server->buffer, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0)
        drop(server, connection);
    else if (dt_store_feed(connection->client, server->buffer, (size_t)n, &err))
        refuse(server, connection, &err);
}

/* ---- thread -------------------------------------------------------------------------------- */

/* A connection is touched by one event a round only, so that one which is dropped is not met again. */
static void serve(struct dt_server *server, struct epoll_event *events, int count)
{
    for (int i = 0; i < count; i++) {
        struct connection *connection = events[i].data.ptr;
        if (events[i].data.ptr == &server->wake) {
            uint64_t unused;
            while (read(server->wake, &unused, sizeof unused) > 0)
                ;
            continue;
        }
        if (events[i].data.ptr == &server->listener) {
            accept_all(server);
        } else if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
            receive(server, connection);
        } else if (flush(server, connection)) {
            drop(server, connection);
        }
    }
}

/* Only the thread may do this: it knows that no event of a dropped connection is at hand. */
static void renew(struct dt_server *server)
{
    struct dt_store *fresh = dt_store_create(DT_STORE_BYTES_MAX);
    for (struct connection *at = server->connections, *next; at; at = next) {
        next = at->next;
        if (at->known)
            drop(server, at);
    }
    if (fresh) {
        dt_store_destroy(server->store);
        server->store = fresh;
    }
    server->renew = false;
    pthread_cond_broadcast(&server->renewed);
}

static void *run(void *argument)
{
    struct dt_server *server = argument;
    struct epoll_event events[EVENTS];
    bool going = true;
    while (going) {
        int count = epoll_wait(server->poll, events, EVENTS, server->paused ? PAUSE_MS : -1);
        if (count < 0 && errno != EINTR)
            break;
        pthread_mutex_lock(&server->lock);
        serve(server, events, count);
        flush_touched(server);
        if (server->renew)
            renew(server);
        going = !server->quit;
        if (server->paused && count == 0) {
            drop_silent(server);
            listen_for_more(server, true);
        }
        pthread_mutex_unlock(&server->lock);
    }
    return NULL;
}

static int add(struct dt_server *server, int fd, void *mark)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = mark};
    return fd < 0 ? -1 : epoll_ctl(server->poll, EPOLL_CTL_ADD, fd, &event);
}

static void release(struct dt_server *server)
{
    for (struct connection *at = server->connections, *next; at; at = next) {
        next = at->next;
        close(at->fd);
        free(at);
    }

    dt_store_destroy(server->store);
    pthread_mutex_destroy(&server->lock);
    pthread_cond_destroy(&server->renewed);
    int fds[] = {server->listener, server->poll, server->wake};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
    }
    free(server);
}

struct dt_server *dt_server_start(int listener, int agents, struct dt_error *err)
{
    struct dt_server *server = calloc(1, sizeof *server);
    if (!server) {
        close(listener);
        dt_error_set(err, "out of memory");
        return NULL;
    }
    pthread_mutex_init(&server->lock, NULL);
    pthread_cond_init(&server->renewed, NULL);
    server->listener = listener;
    server->agents = agents;
    server->poll = epoll_create1(EPOLL_CLOEXEC);
    server->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    server->store = dt_store_create(DT_STORE_BYTES_MAX);
    int result = -1;
    if (server->store && add(server, server->wake, &server->wake) == 0 &&
        add(server, listener, &server->listener) == 0) {
        sigset_t all, old; /* signals are the main thread's */
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &old);
        errno = result = pthread_create(&server->thread, NULL, run, server);
        pthread_sigmask(SIG_SETMASK, &old, NULL);
    }
    if (result == 0)
        return server;
    dt_error_set(err, "the store for the ranks can not be served: %s", strerror(errno));
    release(server);
    return NULL;
}

static void wake(struct dt_server *server, bool *what)
{
    pthread_mutex_lock(&server->lock);
    *what = true;
    pthread_mutex_unlock(&server->lock);
    while (write(server->wake, &(uint64_t){1}, sizeof(uint64_t)) < 0 && errno == EINTR)
        ;
}

void dt_server_renew(struct dt_server *server)
{
    wake(server, &server->renew);
    pthread_mutex_lock(&server->lock);
    while (server->renew)
        pthread_cond_wait(&server->renewed, &server->lock);
    pthread_mutex_unlock(&server->lock);
}

void dt_server_stop(struct dt_server *server)
{
    if (!server)
        return;
    wake(server, &server->quit);
    pthread_join(server->thread, NULL);
    release(server);
}

/* ---- looking ------------------------------------------------------------------------------- */

static bool copy(struct dt_server_client *to, const struct connection *from)
{
    const char *key = dt_store_waits_for(from->client);
    memcpy(to->peer, from->peer, sizeof to->peer);
    to->key = key ? strdup(key) : NULL;
    return !key || to->key;
}

int dt_server_look(struct dt_server *server, struct dt_server_view *view)
{
    int result = 0;
    pthread_mutex_lock(&server->lock);
    *view = (struct dt_server_view){.refused = server->refused};
    memcpy(view->last_refusal, server->last_refusal, sizeof view->last_refusal);
    view->clients = calloc(server->count + 1, sizeof *view->clients);
    for (struct connection *at = server->connections; at && view->clients; at = at->next) {
        if (at->client && dt_store_spoke(at->client) && !copy(&view->clients[view->count++], at))
            result = -1;
    }
    pthread_mutex_unlock(&server->lock);
    if (view->clients && result == 0)
        return 0;
    dt_server_view_fini(view);
    return -1;
}

void dt_server_view_fini(struct dt_server_view *view)
{
    for (size_t i = 0; view->clients && i < view->count; i++)
        free(view->clients[i].key);
    free(view->clients);
    *view = (struct dt_server_view){0};
}
