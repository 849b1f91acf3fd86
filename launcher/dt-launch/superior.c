/* SPDX-License-Identifier: Apache-2.0 */
/* Finding the driver and telling it what happened. */
#include "superior.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "address.h"
#include "link/link.h"
#include "loop.h"
#include "requeue.h"
#include "wire/wire.h"

#define CONNECT_MS 2000
/* Slurm calls a node down after SlurmdTimeout, 300 s as a rule; asked for so long, this often (s). */
#define LOST_S       900.0
#define LOST_EVERY_S 5.0
#define LOST_SPREAD  16 /* so many nodes ask one after the other, for all to ask less often */

struct dt_superior {
    int fd;
};

/* "JOB/RESTARTS/" and then what dt_rendezvous_format gives. */
static const char *read_driver(const struct dt_place *place, int *restarts)
{
    const char *text = getenv("SLURM_LAUNCH_DRIVER");
    long long job = -1;
    int end = 0;
    if (!text || !place->in_step || sscanf(text, "%lld/%d/%n", &job, restarts, &end) != 2 || !end ||
        job != place->job)
        return NULL;
    return text + end;
}

bool dt_superior_present(const struct dt_place *place, int *restarts)
{
    return read_driver(place, restarts) != NULL;
}

/* *refused: its node is there, and nobody listens. */
static int try_address(const char *text, int port, bool *refused)
{
    union address address;
    int why = 0;
    socklen_t length = sizeof why;
    if (!address_read(&address, text))
        return -1;
    int fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    address_set_port(&address, port);
    struct pollfd ready = {.fd = fd, .events = POLLOUT};
    if (connect(fd, &address.any, address_length(&address)) == 0 ||
        (errno == EINPROGRESS && poll(&ready, 1, CONNECT_MS) == 1 &&
         getsockopt(fd, SOL_SOCKET, SO_ERROR, &why, &length) == 0 && why == 0))
        return fd;
    *refused = *refused || why == ECONNREFUSED || errno == ECONNREFUSED;
    close(fd);
    return -1;
}

static void send_message(const struct dt_superior *superior, const struct dt_link_message *message)
{
    struct dt_buf bytes = DT_BUF_INIT;
    dt_link_encode(&bytes, message);
    for (size_t at = 0; !bytes.failed && at < bytes.len;) {
        struct pollfd ready = {.fd = superior->fd, .events = POLLOUT};
        ssize_t n = send(superior->fd, bytes.data + at, bytes.len - at, MSG_NOSIGNAL);
        if (n > 0)
            at += (size_t)n;
        else if (n < 0 && errno != EINTR && (errno != EAGAIN || poll(&ready, 1, CONNECT_MS) < 1))
            break; /* it is seen to be gone when it is polled */
    }
    dt_buf_fini(&bytes);
}

static struct dt_superior *reach(const struct dt_place *place, bool *refused, struct dt_error *err)
{
    struct dt_rendezvous at;
    int restarts, fd = -1;
    const char *text = read_driver(place, &restarts);
    if (!text || dt_rendezvous_parse(&at, text, err)) {
        dt_error_prefix(err, "SLURM_LAUNCH_DRIVER");
        return NULL;
    }
    for (char **address = at.addresses; *address && fd < 0; address++)
        fd = try_address(*address, at.port, refused);
    struct dt_superior *superior = fd < 0 ? NULL : malloc(sizeof *superior);
    if (superior) {
        superior->fd = fd;
        struct dt_link_message hello = {.type = DT_LINK_AGENT,
                                        .numbers = {DT_LINK_VERSION, place->job, place->step},
                                        .texts = {place->node_name, at.token}};
        send_message(superior, &hello);
    } else {
        if (fd >= 0)
            close(fd);
        dt_error_set(
            err,
            "the dt-launch that has started this step can not be reached at %s port %d from "
            "node %s: a node that fails will not be replaced",
            at.addresses[0], at.port, place->node_name);
    }
    dt_rendezvous_fini(&at);
    return superior;
}

int dt_superior_fd(const struct dt_superior *superior)
{
    return superior->fd;
}

struct dt_superior *dt_superior_open(const struct dt_place *place, struct dt_error *err)
{
    bool unused = false;
    return reach(place, &unused, err);
}

void dt_superior_patience(struct dt_superior *superior, double seconds)
{
    const int tries = 3;
    int on = 1, every = (int)(seconds / (tries + 1)) + 1;
    setsockopt(superior->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(superior->fd, IPPROTO_TCP, TCP_KEEPIDLE, &every, sizeof every);
    setsockopt(superior->fd, IPPROTO_TCP, TCP_KEEPINTVL, &every, sizeof every);
    setsockopt(superior->fd, IPPROTO_TCP, TCP_KEEPCNT, &tries, sizeof tries);
}

bool dt_superior_gone(struct dt_superior *superior, bool *silent)
{
    char bytes[64];
    ssize_t n = recv(superior->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    *silent = n < 0 && (errno == ETIMEDOUT || errno == EHOSTUNREACH || errno == ENETUNREACH);
    return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
}

static bool told_to_end(int signals, double seconds)
{
    struct signalfd_siginfo info;
    struct pollfd fd = {.fd = signals, .events = POLLIN};
    double until = dt_now() + seconds, left;
    while ((left = until - dt_now()) > 0) {
        poll(&fd, 1, (int)(left * 1000) + 1);
        while (read(signals, &info, sizeof info) == (ssize_t)sizeof info) {
            if (dt_is_stop((int)info.ssi_signo))
                return true;
        }
    }
    return false;
}

void dt_superior_lost(const struct dt_place *place, bool requeue, int signals)
{
    const int turn = place->node_rank / LOST_SPREAD;
    double until = dt_now() + LOST_S, every = LOST_EVERY_S * (1 + turn);
    struct dt_error err;
    do {
        bool refused = false;
        struct dt_superior *superior = reach(place, &refused, &err);
        dt_superior_close(superior);
        if (superior || refused || dt_job_give_back(place, requeue) != DT_GIVE_BACK_WAIT)
            return;
    } while (!told_to_end(signals, every) && dt_now() < until);
}

void dt_superior_tell(struct dt_superior *superior, const struct dt_superior_report *report)
{
    struct dt_link_message message = {
        .type = DT_LINK_CAUSE,
        .numbers = {report->follow, report->code, report->restarts},
        .texts = {(char *)report->node, (char *)report->sentence},
    };
    send_message(superior, &message);
}

void dt_superior_close(struct dt_superior *superior)
{
    if (superior)
        close(superior->fd);
    free(superior);
}
