/* SPDX-License-Identifier: Apache-2.0 */
/* Connecting to dt-gather and talking to it, by poll(). */
#include "link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"

#define FIRST_WAVE    3 /* addresses tried at once; the rest when these are slow */
#define SECOND_WAVE_S 0.1
#define RETRY_S       0.1
#define HOPELESS_S    1.0 /* after so long, closed doors stay closed */

enum state { WAITING, CONNECTING, GREETED };

struct attempt {
    int fd;
    enum state state;
    double due;  /* WAITING: connect then */
    int error;   /* errno of the last failure; 0: none yet */
    int hung_up; /* how often it took the hello and closed */
    struct dt_frames frames;
    long long hello_us; /* CLOCK_REALTIME */
};

double link_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static long long microseconds(const struct timespec *t)
{
    return (long long)t->tv_sec * 1000000 + t->tv_nsec / 1000;
}

static long long wall_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return microseconds(&now);
}

static void attempt_close(struct attempt *a)
{
    if (a->fd >= 0)
        close(a->fd);
    a->fd = -1;
    dt_frames_fini(&a->frames);
}

static void attempt_failed(struct attempt *a, int error)
{
    attempt_close(a);
    a->hung_up += a->state == GREETED;
    a->error = error;
    a->state = WAITING;
    a->due = link_now() + RETRY_S;
}

static socklen_t make_address(struct sockaddr_storage *to, const char *text, uint16_t port)
{
    *to = (struct sockaddr_storage){0};
    if (strchr(text, ':')) {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)to;
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(port);
        inet_pton(AF_INET6, text, &in6->sin6_addr);
        return sizeof *in6;
    }
    struct sockaddr_in *in4 = (struct sockaddr_in *)to;
    in4->sin_family = AF_INET;
    in4->sin_port = htons(port);
    inet_pton(AF_INET, text, &in4->sin_addr);
    return sizeof *in4;
}

static void attempt_connect(struct attempt *a, const char *address, uint16_t port)
{
    struct sockaddr_storage to;
    socklen_t len = make_address(&to, address, port);
    int on = 1;
    a->fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (a->fd < 0) {
        attempt_failed(a, errno);
        return;
    }
    setsockopt(a->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    /* The clock is compared by when the welcome came in, not by when this process looked at it. */
    setsockopt(a->fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
    dt_frames_init(&a->frames, DT_WIRE_FRAME_MAX);
    a->state = CONNECTING;
    if (connect(a->fd, (struct sockaddr *)&to, len) < 0 && errno != EINPROGRESS)
        attempt_failed(a, errno);
}

static void attempt_greet(struct link *link, struct attempt *a)
{
    int error = 0;
    socklen_t len = sizeof error;
    getsockopt(a->fd, SOL_SOCKET, SO_ERROR, &error, &len);
    if (error) {
        attempt_failed(a, error);
        return;
    }
    a->hello_us = wall_us();
    /* A hello always fits into an empty socket buffer. */
    ssize_t n = send(a->fd, link->hello, link->hello_len, MSG_NOSIGNAL);
    if (n != (ssize_t)link->hello_len)
        attempt_failed(a, n < 0 ? errno : EIO);
    else
        a->state = GREETED;
}

/* Read once. >0: bytes; 0: nothing there now; -1: the connection is over, errno says why. */
static int attempt_read(struct attempt *a, long long *arrived_us)
{
    char chunk[16384], control[CMSG_SPACE(sizeof(struct timespec))];
    struct iovec piece = {.iov_base = chunk, .iov_len = sizeof chunk};
    struct msghdr message = {.msg_iov = &piece,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof control};
    struct dt_error err;
    ssize_t n = recvmsg(a->fd, &message, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n <= 0) {
        errno = n == 0 ? ECONNRESET : errno;
        return -1;
    }
    *arrived_us = wall_us();
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_TIMESTAMPNS) {
        struct timespec stamp;
        memcpy(&stamp, CMSG_DATA(c), sizeof stamp);
        *arrived_us = microseconds(&stamp);
    }
    if (dt_frames_feed(&a->frames, chunk, (size_t)n, &err) < 0) {
        errno = EPROTO;
        return -1;
    }
    return (int)n;
}

static void take_welcome(struct link *link, struct attempt *a)
{
    long long arrived_us = 0;
    json_t *object = NULL;
    struct dt_error err;
    int rc = attempt_read(a, &arrived_us);
    if (rc < 0) {
        attempt_failed(a, errno);
        return;
    }
    rc = dt_frames_next(&a->frames, &object, &err);
    if (rc == 0)
        return;
    json_t *clock = json_object_get(object, "clock_us");
    if (rc < 0 || !dt_message_is(object, "welcome") || !json_is_integer(clock)) {
        attempt_failed(a, EPROTO);
    } else {
        long long middle = a->hello_us + (arrived_us - a->hello_us) / 2;
        link->rtt_us = arrived_us - a->hello_us;
        link->offset_us = middle - json_integer_value(clock);
        link->wants_all = json_is_true(json_object_get(object, "full"));
        link->winner = a;
    }
    json_decref(object);
}

static void attempt_step(struct link *link, struct attempt *a, short events)
{
    if (a->state == WAITING) {
        if (link_now() >= a->due)
            attempt_connect(a, link->rendezvous.addresses[a - link->attempts],
                            link->rendezvous.port);
        return;
    }
    if (!events)
        return;
    if (a->state == CONNECTING)
        attempt_greet(link, a);
    else
        take_welcome(link, a);
}

/* One round of poll over the attempts and the plugin's pipe; at most until `until`. */
static void round_of_poll(struct link *link, double until)
{
    struct pollfd fds[17] = {{.fd = link->plugin_fd}}; /* rendezvous texts hold 16 addresses */
    double now = link_now();
    for (size_t i = 0; i < link->count; i++) {
        struct attempt *a = &link->attempts[i];
        fds[i + 1].fd = a->fd;
        fds[i + 1].events = a->state == CONNECTING ? POLLOUT : POLLIN;
        if (a->state == WAITING && a->due < until)
            until = a->due;
    }
    int ms = until > now ? (int)ceil((until - now) * 1000) : 0;
    if (poll(fds, link->count + 1, ms) < 0)
        return;
    if (fds[0].revents & (POLLHUP | POLLERR | POLLNVAL))
        link->plugin_gone = true;
    for (size_t i = 0; i < link->count && !link->winner; i++)
        attempt_step(link, &link->attempts[i], fds[i + 1].revents);
    for (size_t i = 0; i < link->count && link->winner; i++) {
        if (&link->attempts[i] != link->winner)
            attempt_close(&link->attempts[i]);
    }
}

void link_pump(struct link *link)
{
    if (!link->winner)
        round_of_poll(link, link_now());
}

static int encode_hello(struct link *link, const struct dt_hello *hello, struct dt_error *err)
{
    struct dt_hello whole = *hello;
    whole.token = link->rendezvous.token;
    json_t *object = dt_hello_to_json(&whole);
    if (!object)
        return dt_error_set(err, "node name '%s' can not be sent: it is not UTF-8", hello->node);
    int rc = dt_frame_encode(object, &link->hello, &link->hello_len, err);
    json_decref(object);
    return rc;
}

int link_start(struct link *link, const char *rendezvous, const struct dt_hello *hello,
               int plugin_fd, struct dt_error *err)
{
    *link = (struct link){.plugin_fd = plugin_fd, .started = link_now()};
    if (dt_rendezvous_parse(&link->rendezvous, rendezvous, err) < 0)
        return -1;
    size_t count = 0;
    while (link->rendezvous.addresses[count])
        count++;
    link->attempts = calloc(count + 1, sizeof *link->attempts);
    if (!link->attempts)
        return dt_error_set(err, "out of memory");
    link->count = count;
    for (size_t i = 0; i < count; i++) {
        link->attempts[i].fd = -1;
        link->attempts[i].due = link->started + (i < FIRST_WAVE ? 0 : SECOND_WAVE_S);
    }
    if (encode_hello(link, hello, err) < 0)
        return -1;
    link_pump(link);
    return 0;
}

void link_fini(struct link *link)
{
    for (size_t i = 0; i < link->count; i++)
        attempt_close(&link->attempts[i]);
    free(link->attempts);
    free(link->hello);
    dt_rendezvous_fini(&link->rendezvous);
    *link = (struct link){.plugin_fd = -1};
}

/* Waiting longer would change nothing: every port is closed, or dt-gather wants none of this token.
 */
static bool is_hopeless(const struct link *link)
{
    bool all_refuse = true;
    for (size_t i = 0; i < link->count; i++) {
        if (link->attempts[i].hung_up >= 3)
            return link_now() - link->started >= HOPELESS_S;
        all_refuse = all_refuse && link->attempts[i].error == ECONNREFUSED;
    }
    return all_refuse && link_now() - link->started >= HOPELESS_S;
}

/* "10.0.0.5: Connection refused, fd00::5: no answer" */
static int unreachable(const struct link *link, struct dt_error *err)
{
    struct dt_buf list = DT_BUF_INIT;
    for (size_t i = 0; i < link->count; i++) {
        const struct attempt *a = &link->attempts[i];
        const char *why = a->state == GREETED ? "it answers, but not as dt-gather does"
                          : a->error == ECONNRESET || a->error == EPROTO
                              ? "it closed the connection (is the token another job's?)"
                          : a->error ? strerror(a->error)
                                     : "no answer";
        dt_buf_printf(&list, "%s%s: %s", i ? ", " : "", link->rendezvous.addresses[i], why);
    }
    char *text = dt_buf_take(&list);
    dt_error_set(
        err,
        "dt-gather of srun can not be reached on port %u in %.1f s (%s); open the "
        "port between the nodes and srun's host, or fix it with the plugin's gather-ports=",
        link->rendezvous.port, link_now() - link->started, text ? text : "");
    free(text);
    return -1;
}

int link_wait_welcome(struct link *link, double deadline, struct dt_error *err)
{
    while (!link->winner) {
        if (link->plugin_gone)
            return dt_error_set(err, "the plugin has closed its pipe");
        if (link_now() >= deadline || is_hopeless(link))
            return unreachable(link, err);
        round_of_poll(link, deadline);
    }
    return 0;
}

/* Wait for the winner. 0: ready. */
static int wait_for(struct link *link, short events, double deadline, const char *what,
                    struct dt_error *err)
{
    for (;;) {
        double left = deadline - link_now();
        if (left <= 0)
            return dt_error_set(err, "dt-gather %s within %.1f s", what,
                                link_now() - link->started);
        struct pollfd fds[2] = {{.fd = link->plugin_fd},
                                {.fd = link->winner->fd, .events = events}};
        if (poll(fds, 2, (int)ceil(left * 1000)) < 0 && errno != EINTR)
            return dt_error_set(err, "poll failed: %s", strerror(errno));
        if (fds[0].revents & (POLLHUP | POLLERR | POLLNVAL)) {
            link->plugin_gone = true;
            return dt_error_set(err, "the plugin has closed its pipe");
        }
        if (fds[1].revents)
            return 0;
    }
}

int link_send(struct link *link, json_t *message, double deadline, struct dt_error *err)
{
    unsigned char *bytes = NULL;
    size_t len = 0, sent = 0;
    int rc = message ? dt_frame_encode(message, &bytes, &len, err)
                     : dt_error_set(err, "the report can not be put into JSON");
    json_decref(message);
    while (rc == 0 && sent < len) {
        ssize_t n = send(link->winner->fd, bytes + sent, len - sent, MSG_NOSIGNAL);
        if (n > 0)
            sent += (size_t)n;
        else if (errno == EAGAIN)
            rc = wait_for(link, POLLOUT, deadline, "did not take the report", err);
        else if (errno != EINTR) {
            link->gather_gone = true;
            rc = dt_error_set(err, "the connection to dt-gather broke: %s", strerror(errno));
        }
    }
    free(bytes);
    return rc;
}

int link_wait_message(struct link *link, json_t **message, double deadline, struct dt_error *err)
{
    *message = NULL;
    for (;;) {
        long long arrived_us;
        int rc = dt_frames_next(&link->winner->frames, message, err);
        if (rc != 0)
            return rc < 0 ? -1 : 0;
        if (wait_for(link, POLLIN, deadline, "gave no verdict", err) < 0)
            return -1;
        if (attempt_read(link->winner, &arrived_us) >= 0)
            continue;
        link->gather_gone = true;
        return dt_error_set(err, "dt-gather closed the connection before its verdict (srun "
                                 "ended, or dt-gather failed: see srun's messages)");
    }
}
