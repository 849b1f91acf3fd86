/* SPDX-License-Identifier: Apache-2.0 */
/* Asking a service by TCP or HTTP until it answers; see wait_for.h. */
#include "wait_for.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "hosts.h"
#include "worker.h"

#define DEFAULT_S  600.0
#define TRY_MS     2000 /* for one answer */
#define PAUSE_MS   100  /* between two questions */
#define SAY_S      10.0
#define STATUS     12 /* bytes of "HTTP/1.1 200" */
#define ANSWER_MAX (1 << 20)

struct service {
    char *host, *path; /* path NULL: it is enough that somebody listens */
    int port;
    double patience_s;
};

static void forget(struct service *service)
{
    free(service->host);
    free(service->path);
}

static int refuse(struct service *service, const char *url, struct dt_error *err)
{
    forget(service);
    dt_error_set(
        err,
        "--wait-for is \"%.200s\": tcp://HOST:PORT or http://HOST[:PORT]/PATH is needed, with "
        ",SECONDS behind it if it may take other than 600",
        url);
    return -1;
}

static int parse(struct service *service, const char *url, struct dt_error *err)
{
    bool http = strncmp(url, "http://", 7) == 0;
    const char *at = url + (http ? 7 : 6), *comma = strrchr(url, ','), *stop;
    char *end = NULL;
    *service = (struct service){.port = http ? 80 : 0, .patience_s = DEFAULT_S};
    if (!http && strncmp(url, "tcp://", 6) != 0)
        return refuse(service, url, err);
    stop = url + strlen(url);
    double seconds = comma ? strtod(comma + 1, &end) : 0;
    if (comma && end > comma + 1 && !*end) {
        if (!(seconds > 0 && seconds <= 86400))
            return refuse(service, url, err);
        service->patience_s = seconds;
        stop = comma;
    }
    bool v6 = *at == '[';
    size_t length = v6 ? strcspn(at, "]") : strcspn(at, ":/,");
    service->host = strndup(at + v6, length - v6);
    at += length + v6;
    if (at > stop || !service->host || !*service->host)
        return refuse(service, url, err);
    if (*at == ':') {
        long port = strtol(at + 1, &end, 10);
        if (end == at + 1 || port < 1 || port > 65535)
            return refuse(service, url, err);
        service->port = (int)port;
        at = end;
    }
    if (http)
        service->path = at == stop   ? strdup("/")
                        : *at == '/' ? strndup(at, (size_t)(stop - at))
                                     : NULL;
    if (service->port == 0 || (http ? !service->path : at != stop))
        return refuse(service, url, err);
    return 0;
}

int dt_wait_for_check(const char *url, struct dt_error *err)
{
    struct service service;
    if (parse(&service, url, err))
        return -1;
    forget(&service);
    return 0;
}

/* ---- asking -------------------------------------------------------------------------------- */

/* Connected within TRY_MS, or -1. */
static int reach(const struct service *service)
{
    union address address;
    int why = 0;
    socklen_t length = sizeof why;
    if (!dt_hosts_address(&address, service->host))
        return -1;
    address_set_port(&address, service->port);
    int fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    struct pollfd ready = {.fd = fd, .events = POLLOUT};
    if (connect(fd, &address.any, address_length(&address)) == 0 ||
        (errno == EINPROGRESS && poll(&ready, 1, TRY_MS) == 1 &&
         getsockopt(fd, SOL_SOCKET, SO_ERROR, &why, &length) == 0 && why == 0))
        return fd;
    close(fd);
    return -1;
}

/* Wait for more of the answer; 0: it has ended, or takes too long. */
static size_t hear(int fd, char *bytes, size_t room)
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    ssize_t n = poll(&ready, 1, TRY_MS) == 1 ? recv(fd, bytes, room, 0) : 0;
    return n > 0 ? (size_t)n : 0;
}

/* "HTTP/1.1 200 OK": any 2xx will do. The rest of the answer is heard, too: services complain of clients that hang up
 * on them. */
static bool answers_well(int fd, const struct service *service)
{
    char answer[4096];
    size_t used = 0, heard = 0, n;
    struct dt_buf question = DT_BUF_INIT;
    dt_buf_printf(&question, "GET %s HTTP/1.1\r\nHost: %s:%d\r\nConnection: close\r\n\r\n",
                  service->path, service->host, service->port);
    bool sent = !question.failed &&
                send(fd, question.data, question.len, MSG_NOSIGNAL) == (ssize_t)question.len;
    dt_buf_fini(&question);
    while (sent && used < STATUS && (n = hear(fd, answer + used, STATUS - used)) > 0)
        used += n;
    bool well = used == STATUS && strncmp(answer, "HTTP/1.", 7) == 0 && answer[9] == '2';
    while (used == STATUS && heard < ANSWER_MAX && (n = hear(fd, answer, sizeof answer)) > 0)
        heard += n;
    return well;
}

static bool is_ready(const struct service *service)
{
    int fd = reach(service);
    bool ready = fd >= 0 && (!service->path || answers_well(fd, service));
    if (fd >= 0)
        close(fd);
    return ready;
}

static int wait_one(const char *url, struct dt_error *err)
{
    struct service service;
    if (parse(&service, url, err))
        return -1;
    double began = dt_now(), say = began + SAY_S;
    bool ready;
    while (!(ready = is_ready(&service)) && dt_now() < began + service.patience_s) {
        if (dt_now() >= say) {
            dprintf(STDERR_FILENO, "dt-launch: waiting for %s for %.0f s\n", url, dt_now() - began);
            say = dt_now() + (say - began) * 2;
        }
        nanosleep(&(struct timespec){.tv_nsec = PAUSE_MS * 1000000L}, NULL);
    }
    if (!ready)
        dt_error_set(err, "%s did not answer in %.3g s: does it run, and is that where it listens?",
                     url, service.patience_s);
    forget(&service);
    return ready ? 0 : -1;
}

int dt_wait_for(const struct dt_options *options, struct dt_error *err)
{
    for (int i = 0; i < options->wait_for_count; i++) {
        if (wait_one(options->wait_for[i], err))
            return -1;
    }
    return 0;
}
