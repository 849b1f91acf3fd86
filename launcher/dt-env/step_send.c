/* SPDX-License-Identifier: Apache-2.0 */
/* A node hands its text to the first node of its step: "dt-env 1 JOB.STEP NODE", the text, end; the
 * answer "done" says that it came to the right one. */
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "step.h"
#include "step_wire.h"

double step_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static bool wait_for(int fd, short events, double deadline)
{
    for (;;) {
        double left = deadline - step_now();
        struct pollfd one = {.fd = fd, .events = events};
        int ready = left > 0 ? poll(&one, 1, (int)(left * 1000) + 1) : 0;
        if (ready > 0)
            return true;
        if (ready == 0 || errno != EINTR)
            return false;
    }
}

static bool connect_within(int fd, const struct addrinfo *to, double deadline)
{
    int error = 0;
    socklen_t len = sizeof error;
    if (connect(fd, to->ai_addr, to->ai_addrlen) == 0)
        return true;
    return errno == EINPROGRESS && wait_for(fd, POLLOUT, deadline) &&
           getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error == 0;
}

static bool send_all(int fd, const char *data, size_t len, double deadline)
{
    while (len > 0) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN && wait_for(fd, POLLOUT, deadline))
            continue;
        if (n < 0 && errno != EINTR)
            return false;
        data += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
    return true;
}

static bool is_taken(int fd, double deadline)
{
    char answer[sizeof STEP_DONE] = "";
    size_t len = 0;
    while (len < sizeof STEP_DONE - 1 && wait_for(fd, POLLIN, deadline)) {
        ssize_t n = recv(fd, answer + len, sizeof STEP_DONE - 1 - len, 0);
        if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
            break;
        len += n > 0 ? (size_t)n : 0;
    }
    return strcmp(answer, STEP_DONE) == 0;
}

/* One try at one address. */
static bool hand_over(const struct step *step, const struct addrinfo *to, const struct dt_buf *text,
                      double deadline)
{
    char hello[128];
    int fd = socket(to->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    snprintf(hello, sizeof hello, STEP_HELLO "%s %ld\n", step->id, step->node);
    bool done = fd >= 0 && connect_within(fd, to, deadline) &&
                send_all(fd, hello, strlen(hello), deadline) &&
                send_all(fd, text->data, text->len, deadline) && shutdown(fd, SHUT_WR) == 0 &&
                is_taken(fd, deadline);
    if (fd >= 0)
        close(fd);
    return done;
}

/* All addresses of the first node, all ports that it may have taken. */
static bool try_all(const struct step *step, const struct dt_buf *text, double deadline)
{
    struct addrinfo *found, hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    bool done = false;
    for (int i = 0; i < STEP_PORTS && !done; i++) {
        char port[16];
        snprintf(port, sizeof port, "%d", step->port + i);
        if (getaddrinfo(step->nodes.names[0], port, &hints, &found) != 0)
            return false;
        for (struct addrinfo *to = found; to && !done; to = to->ai_next) {
            double soon = step_now() + STEP_TRY_SECONDS;
            done = hand_over(step, to, text, soon < deadline ? soon : deadline);
        }
        freeaddrinfo(found);
    }
    return done;
}

int step_send(const struct step *step, const struct dt_buf *text, struct dt_error *err)
{
    static const struct timespec pause = {.tv_nsec = 50000000};
    double deadline = step_now() + (double)step->seconds;
    while (step_now() < deadline) {
        if (try_all(step, text, deadline))
            return 0;
        nanosleep(&pause, NULL); /* its task may not have started yet */
    }
    return dt_error_set(err,
                        "%s, the first node of the step, did not answer on TCP ports %d to %d in "
                        "%ld s: is a task of dt-env running there?",
                        step->nodes.names[0], step->port, step->port + STEP_PORTS - 1,
                        step->seconds);
}
