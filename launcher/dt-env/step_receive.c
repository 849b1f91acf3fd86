/* SPDX-License-Identifier: Apache-2.0 */
/* The first node of a step hears the others. */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "step.h"
#include "step_wire.h"

struct receiver {
    const struct step *step;
    bool (*take)(void *context, const struct dt_buf *text);
    void *context;
    bool *heard;           /* of each node */
    struct pollfd *polled; /* [0] listens; the others are peers[1...] */
    struct dt_buf *peers;
    size_t count, room;
    size_t taken; /* nodes that were heard */
};

static int listen_on(int port)
{
    struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
    struct sockaddr_in any4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int on = 1, off = 0;
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool v6 = fd >= 0 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) == 0;
    if (!v6) { /* a kernel without IPv6 */
        if (fd >= 0)
            close(fd);
        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    }
    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
        bind(fd, v6 ? (struct sockaddr *)&any : (struct sockaddr *)&any4,
             v6 ? sizeof any : sizeof any4) == 0 &&
        listen(fd, SOMAXCONN) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

static int listen_somewhere(const struct step *step, struct dt_error *err)
{
    for (int i = 0; i < STEP_PORTS; i++) {
        int fd = listen_on(step->port + i);
        if (fd >= 0)
            return fd;
    }
    return dt_error_set(err, "the other nodes can not be heard: TCP ports %d to %d: %s", step->port,
                        step->port + STEP_PORTS - 1, strerror(errno));
}

static bool add_peer(struct receiver *r, int fd)
{
    if (r->count == r->room) {
        size_t room = r->room ? r->room * 2 : 64;
        struct pollfd *polled = realloc(r->polled, room * sizeof *polled);
        if (polled)
            r->polled = polled;
        struct dt_buf *peers = realloc(r->peers, room * sizeof *peers);
        if (peers)
            r->peers = peers;
        if (!polled || !peers)
            return false;
        r->room = room;
    }
    r->polled[r->count] = (struct pollfd){.fd = fd, .events = POLLIN};
    r->peers[r->count++] = (struct dt_buf)DT_BUF_INIT;
    return true;
}

static void drop_peer(struct receiver *r, size_t i)
{
    close(r->polled[i].fd);
    dt_buf_fini(&r->peers[i]);
    r->count--;
    r->polled[i] = r->polled[r->count];
    r->peers[i] = r->peers[r->count];
}

static void accept_all(struct receiver *r)
{
    int fd;
    while ((fd = accept4(r->polled[0].fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0)
        if (!add_peer(r, fd))
            close(fd);
    if (errno == EMFILE && r->count > 1) /* room for one that speaks; ours come again */
        drop_peer(r, 1);
}

/* The node that the text is from, and where its own begins. -1: none of this step. */
static long sender(const struct receiver *r, const struct dt_buf *said, const char **own)
{
    struct dt_buf hello = DT_BUF_INIT;
    long node = -1;
    dt_buf_printf(&hello, STEP_HELLO "%s ", r->step->id);
    if (!hello.failed && !said->failed && said->len > hello.len &&
        memcmp(said->data, hello.data, hello.len) == 0) {
        char *end;
        node = strtol(said->data + hello.len, &end, 10);
        *own = end + 1;
        if (*end != '\n' || node < 1 || (size_t)node >= r->step->nodes.count)
            node = -1;
    }
    dt_buf_fini(&hello);
    return node;
}

static bool is_taken(struct receiver *r, const struct dt_buf *said)
{
    const char *own;
    long node = sender(r, said, &own);
    if (node < 0)
        return false;
    if (r->heard[node]) /* it did not hear that it was heard */
        return true;
    struct dt_buf text = {.data = (char *)own, .len = said->len - (size_t)(own - said->data)};
    r->heard[node] = r->take(r->context, &text);
    r->taken += r->heard[node];
    return r->heard[node];
}

/* False: this peer is done with. */
static bool hear(struct receiver *r, size_t i)
{
    char piece[16384];
    ssize_t n = recv(r->polled[i].fd, piece, sizeof piece, 0);
    if (n < 0)
        return errno == EINTR || errno == EAGAIN;
    if (n > 0) {
        dt_buf_append(&r->peers[i], piece, (size_t)n);
        return r->peers[i].len <= STEP_TEXT_MAX;
    }
    if (is_taken(r, &r->peers[i])) /* the answer fits into any socket's buffer */
        (void)!send(r->polled[i].fd, STEP_DONE, sizeof STEP_DONE - 1, MSG_NOSIGNAL);
    return false;
}

static void serve(struct receiver *r)
{
    double deadline = step_now() + (double)r->step->seconds;
    while (r->taken + 1 < r->step->nodes.count) {
        double left = deadline - step_now();
        if (left <= 0)
            return;
        int ready = poll(r->polled, (nfds_t)r->count, (int)(left * 1000) + 1);
        if (ready < 0 && errno != EINTR)
            return;
        for (size_t i = r->count; ready > 0 && i-- > 1;)
            if (r->polled[i].revents && !hear(r, i))
                drop_peer(r, i);
        if (ready > 0 && r->polled[0].revents)
            accept_all(r);
    }
}

int step_receive(const struct step *step, bool *heard,
                 bool (*take)(void *context, const struct dt_buf *text), void *context,
                 struct dt_error *err)
{
    struct receiver r = {.step = step, .heard = heard, .take = take, .context = context};
    struct rlimit files;
    int fd = listen_somewhere(step, err), rc = -1;
    if (fd < 0)
        return -1;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) { /* a descriptor for each node */
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    if (add_peer(&r, fd)) {
        serve(&r);
        rc = 0;
    } else {
        close(fd);
        dt_error_set(err, "out of memory");
    }
    while (r.count > 0)
        drop_peer(&r, r.count - 1);
    free(r.polled);
    free(r.peers);
    return rc;
}
