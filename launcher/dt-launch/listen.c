/* SPDX-License-Identifier: Apache-2.0 */
/* The port of the store and of the other agents, before anybody is told of it. */
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server.h"

#define BACKLOG 4096

static int try_listen(int family, int port)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
    int on = 1, off = 0, fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    bool v6only = family == AF_INET6;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) ||
        (v6only && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off)) ||
        bind(fd, v6only ? (struct sockaddr *)&v6 : (struct sockaddr *)&v4,
             v6only ? sizeof v6 : sizeof v4) ||
        listen(fd, BACKLOG)) {
        int why = errno;
        close(fd);
        errno = why;
        return -1;
    }
    return fd;
}

int dt_server_listen(int port, int *bound)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } own = {.v6 = {0}};
    socklen_t length = sizeof own;
    int fd = try_listen(AF_INET6, port);
    if (fd < 0 && errno != EADDRINUSE) /* no IPv6 here */
        fd = try_listen(AF_INET, port);
    if (fd < 0)
        return -1;
    if (getsockname(fd, &own.any, &length)) {
        close(fd);
        return -1;
    }
    *bound = ntohs(own.any.sa_family == AF_INET6 ? own.v6.sin6_port : own.v4.sin_port);
    return fd;
}
