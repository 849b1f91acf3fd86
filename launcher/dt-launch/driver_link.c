/* SPDX-License-Identifier: Apache-2.0 */
/* The driver's ear: agents connect, show the token, and tell what the cause of a failure was. Who does not
 * show it is dropped, and not spoken of. */
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "address.h"
#include "driver.h"
#include "link/link.h"
#include "server.h"
#include "wire/wire.h"

#define ADDRESSES_MAX 8
#define CALLERS_MAX   64 /* the lead, or when that is gone its members, of which one is enough */
#define HELLO_MAX     512

struct caller {
    int fd; /* -1: free */
    bool known;
    struct dt_link_reader in;
};

struct dt_listener {
    long long job;
    int socket, poll;
    struct dt_rendezvous at;
    struct caller callers[CALLERS_MAX];
};

/* ---- where we are -------------------------------------------------------------------------- */

static int find_addresses(struct dt_rendezvous *at, struct dt_error *err)
{
    struct ifaddrs *all = NULL;
    char text[INET6_ADDRSTRLEN];
    int count = 0;
    at->addresses = calloc(ADDRESSES_MAX + 1, sizeof *at->addresses);
    if (!at->addresses || getifaddrs(&all))
        return dt_error_set(err, "the addresses of this node can not be read: %s", strerror(errno));
    for (const struct ifaddrs *i = all; i && count < ADDRESSES_MAX; i = i->ifa_next) {
        bool usable = i->ifa_addr && (i->ifa_flags & IFF_UP) && !(i->ifa_flags & IFF_LOOPBACK) &&
                      (i->ifa_addr->sa_family == AF_INET || i->ifa_addr->sa_family == AF_INET6);
        union address address = {0};
        if (!usable)
            continue;
        memcpy(&address, i->ifa_addr,
               i->ifa_addr->sa_family == AF_INET ? sizeof address.v4 : sizeof address.v6);
        if (address.any.sa_family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(&address.v6.sin6_addr))
            continue;
        if (address_write(&address, text, sizeof text) && (at->addresses[count] = strdup(text)))
            count++;
    }
    freeifaddrs(all);
    if (count == 0 && (at->addresses[0] = strdup("127.0.0.1")))
        count = 1; /* a machine without a network is one node */
    return count ? 0 : dt_error_set(err, "out of memory");
}

/* ---- callers ------------------------------------------------------------------------------- */

static void drop(struct caller *caller)
{
    close(caller->fd);
    caller->fd = -1;
    dt_link_reader_fini(&caller->in);
}

static void welcome(struct dt_listener *listener)
{
    int fd;
    while ((fd = accept4(listener->socket, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
        struct caller *free_one = NULL;
        for (int i = 0; i < CALLERS_MAX && !free_one; i++)
            free_one = listener->callers[i].fd < 0 ? &listener->callers[i] : NULL;
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = free_one};
        if (!free_one || epoll_ctl(listener->poll, EPOLL_CTL_ADD, fd, &event)) {
            close(fd);
            continue;
        }
        *free_one = (struct caller){.fd = fd};
    }
}

static void take_cause(struct dt_told *told, struct dt_link_message *message)
{
    told->restarts = (int)message->numbers[2];
    if (message->numbers[0] == DT_FOLLOW_RESTART) /* that was within the step */
        return;
    if (told->heard && told->follow == DT_FOLLOW_REPLACE)
        return; /* several members tell of one lead */
    dt_told_fini(told);
    told->heard = true;
    told->restarts = (int)message->numbers[2];
    told->follow = message->numbers[0] == DT_FOLLOW_REPLACE ? DT_FOLLOW_REPLACE : DT_FOLLOW_STOP;
    told->code = (int)(message->numbers[1] & 0xff);
    told->node = message->texts[0];
    told->sentence = message->texts[1];
    message->texts[0] = message->texts[1] = NULL;
}

/* Returns false for what is no agent of ours. */
static bool take(struct dt_listener *listener, struct caller *caller,
                 struct dt_link_message *message, struct dt_told *told)
{
    if (!caller->known) {
        caller->known = message->type == DT_LINK_AGENT && message->numbers[0] == DT_LINK_VERSION &&
                        message->numbers[1] == listener->job &&
                        dt_token_equal(message->texts[1], listener->at.token);
        return caller->known;
    }
    if (message->type != DT_LINK_CAUSE)
        return false;
    take_cause(told, message);
    return true;
}

static void hear(struct dt_listener *listener, struct caller *caller, struct dt_told *told)
{
    char bytes[4096];
    struct dt_link_message message;
    struct dt_error err;
    ssize_t n = recv(caller->fd, bytes, sizeof bytes, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    bool good = n > 0 && dt_link_feed(&caller->in, bytes, (size_t)n, &err) == 0;
    int result = 0;
    while (good && (result = dt_link_next(&caller->in, &message, &err)) == 1) {
        good = take(listener, caller, &message, told);
        dt_link_message_fini(&message);
    }
    if (!good || result < 0 || (!caller->known && caller->in.bytes.len > HELLO_MAX)) {
        told->left = told->left || (caller->known && told->heard);
        drop(caller);
    }
}

/* ---- the listener -------------------------------------------------------------------------- */

struct dt_listener *dt_listener_open(long long job, struct dt_error *err)
{
    struct dt_listener *listener = calloc(1, sizeof *listener);
    int port = 0;
    if (!listener) {
        dt_error_set(err, "out of memory");
        return NULL;
    }
    listener->job = job;
    for (int i = 0; i < CALLERS_MAX; i++)
        listener->callers[i].fd = -1;
    listener->socket = dt_server_listen(0, &port);
    listener->poll = epoll_create1(EPOLL_CLOEXEC);
    listener->at.port = (uint16_t)port;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (listener->socket < 0 || listener->poll < 0 ||
        epoll_ctl(listener->poll, EPOLL_CTL_ADD, listener->socket, &event))
        dt_error_set(err, "no TCP port can be had for the agents: %s", strerror(errno));
    else if (find_addresses(&listener->at, err) == 0 &&
             dt_token_create(listener->at.token, err) == 0)
        return listener;
    dt_listener_close(listener);
    return NULL;
}

void dt_listener_close(struct dt_listener *listener)
{
    if (!listener)
        return;
    for (int i = 0; i < CALLERS_MAX; i++) {
        if (listener->callers[i].fd >= 0)
            drop(&listener->callers[i]);
    }
    if (listener->socket >= 0)
        close(listener->socket);
    if (listener->poll >= 0)
        close(listener->poll);
    dt_rendezvous_fini(&listener->at);
    free(listener);
}

int dt_listener_fd(const struct dt_listener *listener)
{
    return listener->poll;
}

char *dt_listener_text(const struct dt_listener *listener, int restarts)
{
    char *where = dt_rendezvous_format(&listener->at), *text = NULL;
    if (where && asprintf(&text, "%lld/%d/%s", listener->job, restarts, where) < 0)
        text = NULL;
    free(where);
    return text;
}

void dt_listener_work(struct dt_listener *listener, struct dt_told *told)
{
    struct epoll_event events[16];
    int count = epoll_wait(listener->poll, events, 16, 0);
    for (int i = 0; i < count; i++) {
        struct caller *caller = events[i].data.ptr;
        if (!caller)
            welcome(listener);
        else if (caller->fd >= 0)
            hear(listener, caller, told);
    }
}

void dt_told_fini(struct dt_told *told)
{
    free(told->node);
    free(told->sentence);
    *told = (struct dt_told){.restarts = told->restarts};
}
