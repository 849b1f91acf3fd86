/* SPDX-License-Identifier: Apache-2.0 */
/* A few frames of the protocol in lib/wire/wire.h, written with libc alone: "hello" and "failed"
 * go out in one piece, and a "welcome" means that they were taken. */
#include "gather.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "helper.h"

#define ADDRESSES_MAX 16 /* as in lib/wire/rendezvous.c */

/* A JSON string. Control characters and bytes that may not be UTF-8 become '?': dt-gather refuses
 * text that is none. */
static void put_string(struct text *out, const char *value)
{
    text_puts(out, "\"");
    for (const char *c = value; *c; c++) {
        unsigned char byte = (unsigned char)*c;
        if (byte == '"' || byte == '\\')
            text_add(out, "\\", 1);
        text_add(out, byte < 0x20 || byte >= 0x7f ? "?" : c, 1);
    }
    text_puts(out, "\"");
}

static void put_frame(struct text *frames, const struct text *body)
{
    uint32_t len = htonl((uint32_t)body->len);
    frames->failed |= body->failed;
    text_add(frames, (const char *)&len, sizeof len);
    text_add(frames, body->data ? body->data : "", body->len);
}

void gather_format(struct text *frames, const struct gather_node *node, const char *token, int code,
                   const char *reason)
{
    struct text body = {0};
    text_puts(&body, "{\"type\":\"hello\",\"dt\":1,\"token\":");
    put_string(&body, token);
    text_puts(&body, ",\"node\":");
    put_string(&body, node->name);
    text_printf(&body, ",\"nodeid\":%u,\"nodes\":%u,\"tasks\":%u,\"step\":\"%u.%u\"", node->id,
                node->count, node->tasks, node->job, node->step);
    text_printf(&body, ",\"het_group\":%ld,\"het_size\":%ld}",
                node->components ? node->component : -1, node->components);
    put_frame(frames, &body);
    text_fini(&body);
    text_printf(&body, "{\"type\":\"failed\",\"code\":%d,\"reason\":", code);
    put_string(&body, reason);
    text_puts(&body, "}");
    put_frame(frames, &body);
    text_fini(&body);
}

static int connect_to(char *address, unsigned port)
{
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
    struct sockaddr_in in4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    bool six = *address == '[';
    if (six) {
        address++;
        address[strcspn(address, "]")] = '\0';
    }
    if (inet_pton(six ? AF_INET6 : AF_INET, address,
                  six ? (void *)&in6.sin6_addr : (void *)&in4.sin_addr) != 1)
        return -1;
    int fd = socket(six ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    int rc = six ? connect(fd, (struct sockaddr *)&in6, sizeof in6)
                 : connect(fd, (struct sockaddr *)&in4, sizeof in4);
    if (rc == 0 || errno == EINPROGRESS)
        return fd;
    close(fd);
    return -1;
}

static void drop(struct pollfd *fd)
{
    close(fd->fd);
    fd->fd = -1;
}

/* One step of one connection. true: welcomed. */
static bool advance(struct pollfd *fd, const struct text *frames)
{
    char answer[64]; /* {"type": "welcome", ... behind four bytes of length */
    if (fd->events == POLLOUT) {
        if (send(fd->fd, frames->data, frames->len, MSG_NOSIGNAL) == (ssize_t)frames->len)
            fd->events = POLLIN;
        else
            drop(fd);
        return false;
    }
    ssize_t n = recv(fd->fd, answer, sizeof answer, 0);
    if (n > 0 && memmem(answer, (size_t)n, "welcome", strlen("welcome")))
        return true;
    drop(fd);
    return false;
}

static bool talk(struct pollfd *fds, nfds_t count, const struct text *frames, long long deadline)
{
    for (;;) {
        nfds_t open = 0;
        for (nfds_t i = 0; i < count; i++)
            open += fds[i].fd >= 0;
        long long left = deadline - now_ms();
        if (open == 0 || left <= 0)
            return false;
        if (poll(fds, count, (int)left) < 0 && errno != EINTR)
            return false;
        for (nfds_t i = 0; i < count; i++) {
            if (fds[i].fd >= 0 && fds[i].revents && advance(&fds[i], frames))
                return true;
        }
    }
}

bool gather_tell(const char *rendezvous, const struct gather_node *node, int code,
                 const char *reason, int wait_ms)
{
    struct pollfd fds[ADDRESSES_MAX];
    struct text frames = {0};
    nfds_t count = 0;
    char *copy = strdup(rendezvous), *rest = copy, *address;
    char *version = copy ? strsep(&rest, "/") : NULL, *addresses = strsep(&rest, "/");
    char *port = strsep(&rest, "/"), *token = rest;
    bool told = false;
    if (!version || strcmp(version, "1") != 0 || !token)
        goto out;
    gather_format(&frames, node, token, code, reason);
    if (frames.failed)
        goto out;
    while (count < ADDRESSES_MAX && (address = strsep(&addresses, ","))) {
        int fd = connect_to(address, (unsigned)strtoul(port, NULL, 10));
        if (fd >= 0)
            fds[count++] = (struct pollfd){.fd = fd, .events = POLLOUT};
    }
    told = talk(fds, count, &frames, now_ms() + wait_ms);
out:
    for (nfds_t i = 0; i < count; i++) {
        if (fds[i].fd >= 0)
            close(fds[i].fd);
    }
    text_fini(&frames);
    if (copy)
        explicit_bzero(copy, strlen(copy));
    free(copy);
    return told;
}
