/* SPDX-License-Identifier: Apache-2.0 */
/* The nodes of one process of a crowd: real connections and real messages (lib/report/message.h),
 * made ahead, so that what is measured is dt-gather. */
#include "crowd.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "report/detail.h"
#include "report/message.h"
#include "wire/message.h"

#define PATIENCE_MS 60000

struct member {
    int fd;
    unsigned char *report; /* its frame */
    size_t report_len;
    bool connected, welcomed, reported, answered;
    struct dt_frames frames;
};

struct nodes {
    const struct crowd *crowd;
    struct crowd_tally *tally;
    int first, count;
    int epoll;
    struct member *members;
    struct dt_facts facts;
    struct dt_check_results checks;
    int joined, welcomed;
    double late_until; /* when the late node reports; 0: there is none, or it has */
};

void crowd_die(const char *what, const char *why)
{
    fprintf(stderr, "crowd: %s: %s\n", what, why);
    exit(1);
}

double crowd_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* Until all processes are so far. */
static void meet(const struct crowd *crowd, enum crowd_meeting meeting)
{
    char byte = 0;
    if (write(crowd->ready_fd, &byte, 1) != 1 || read(crowd->go_fd[meeting], &byte, 1) != 1)
        crowd_die("a process", "waits in vain for the others");
}

static void load_report(struct nodes *nodes)
{
    json_error_t where;
    struct dt_error err;
    const char *path = nodes->crowd->report;
    json_t *json = json_load_file(path, 0, &where);
    if (!json)
        crowd_die(path, where.text);
    if (dt_facts_from_json(&nodes->facts, json_object_get(json, "facts"), &err) < 0 ||
        dt_check_results_from_json(&nodes->checks, json_object_get(json, "checks"), &err) < 0)
        crowd_die(path, err.text);
    if (nodes->checks.count == 0)
        crowd_die(path, "has no checks");
    json_decref(json);
}

static void encode(json_t *object, unsigned char **bytes, size_t *len)
{
    struct dt_error err;
    if (!object || dt_frame_encode(object, bytes, len, &err) < 0)
        crowd_die("a message", "can not be encoded");
    json_decref(object);
}

static void send_bytes(struct nodes *nodes, int fd, const unsigned char *bytes, size_t len)
{
    if (send(fd, bytes, len, MSG_NOSIGNAL) != (ssize_t)len)
        crowd_die("send", strerror(errno));
    nodes->tally->wire_bytes += len;
}

static void put_detail_first(const struct nodes *nodes, struct member *member)
{
    unsigned char *detail;
    size_t len;
    encode(dt_detail_message(&nodes->facts, &nodes->checks), &detail, &len);
    detail = realloc(detail, len + member->report_len);
    if (!detail)
        crowd_die("a report", "out of memory");
    memcpy(detail + len, member->report, member->report_len);
    free(member->report);
    member->report = detail;
    member->report_len += len;
}

/* Real nodes differ in their name and clock only. */
static void describe(struct nodes *nodes, int id)
{
    char name[32];
    snprintf(name, sizeof name, "n%05d", id);
    dt_facts_set_string(&nodes->facts, "node.name", name);
    dt_facts_set_int(&nodes->facts, "clock.offset_us", id % 97);
    dt_facts_set_int(&nodes->facts, "clock.rtt_us", 100 + id % 13);
    if (id == nodes->crowd->odd)
        dt_facts_set_string(&nodes->facts, "kernel.release", "5.4.0-odd");
}

static void make_report(struct nodes *nodes, int i)
{
    int id = nodes->first + i;
    struct member *member = &nodes->members[i];
    struct dt_check_result *check = &nodes->checks.items[0], healthy = *check;
    char *kernel = NULL, value[32];
    const char *text;
    if (!dt_facts_string(&nodes->facts, "kernel.release", &text) || !(kernel = strdup(text)))
        crowd_die(nodes->crowd->report, "has no kernel.release");
    describe(nodes, id);
    if (id < nodes->crowd->sick) {
        snprintf(value, sizeof value, "%d of something", id);
        check->result = DT_FAIL;
        check->value = value;
    }
    struct dt_report_message message = {.facts = &nodes->facts,
                                        .checks = &nodes->checks,
                                        .env = "env: 7 variables set",
                                        .port = 40000,
                                        .took_us = 5000 + id};
    encode(dt_report_message(&message), &member->report, &member->report_len);
    if (nodes->crowd->detail)
        put_detail_first(nodes, member);
    nodes->tally->report_bytes += member->report_len;
    dt_facts_set_string(&nodes->facts, "kernel.release", kernel);
    free(kernel);
    *check = healthy;
}

static void join(struct nodes *nodes, int i)
{
    struct member *member = &nodes->members[i];
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(nodes->crowd->address.port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event event = {.events = EPOLLOUT, .data.u32 = (uint32_t)i};
    int on = 1;
    member->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (member->fd < 0 ||
        (connect(member->fd, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS))
        crowd_die("connect", strerror(errno));
    setsockopt(member->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    dt_frames_init(&member->frames, DT_WIRE_FRAME_MAX);
    if (epoll_ctl(nodes->epoll, EPOLL_CTL_ADD, member->fd, &event) < 0)
        crowd_die("epoll", strerror(errno));
}

/* As dt-node does when it was not let in. */
static void join_again(struct nodes *nodes, int i)
{
    struct member *member = &nodes->members[i];
    close(member->fd);
    dt_frames_fini(&member->frames);
    member->connected = false;
    nodes->tally->tried_again++;
    join(nodes, i);
}

static void say_hello(struct nodes *nodes, int i)
{
    const struct crowd *crowd = nodes->crowd;
    struct member *member = &nodes->members[i];
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)i};
    char name[32];
    unsigned char *bytes;
    size_t len;
    snprintf(name, sizeof name, "n%05d", nodes->first + i);
    struct dt_hello hello = {.token = crowd->address.token,
                             .node = name,
                             .step = "7.0",
                             .node_id = nodes->first + i,
                             .node_count = crowd->nodes,
                             .tasks = crowd->nodes * 8,
                             .het_group = -1};
    encode(dt_hello_to_json(&hello), &bytes, &len);
    member->connected = true;
    send_bytes(nodes, member->fd, bytes, len);
    free(bytes);
    if (epoll_ctl(nodes->epoll, EPOLL_CTL_MOD, member->fd, &event) < 0)
        crowd_die("epoll", strerror(errno));
}

static void report(struct nodes *nodes, int i)
{
    struct member *member = &nodes->members[i];
    member->reported = true;
    if (nodes->tally->first_report == 0)
        nodes->tally->first_report = crowd_now_ms();
    send_bytes(nodes, member->fd, member->report, member->report_len);
    free(member->report);
    member->report = NULL;
    nodes->tally->last_report = crowd_now_ms();
}

static void welcome(struct nodes *nodes, int i)
{
    nodes->members[i].welcomed = true;
    nodes->welcomed++;
    if (nodes->crowd->late_s > 0 && nodes->first + i == nodes->crowd->nodes - 1) {
        nodes->late_until = crowd_now_ms() + nodes->crowd->late_s * 1e3;
        return;
    }
    if (!nodes->crowd->together) {
        report(nodes, i);
        return;
    }
    if (nodes->welcomed < nodes->count)
        return;
    meet(nodes->crowd, CROWD_WELCOMED);
    for (int k = 0; k < nodes->count; k++)
        report(nodes, k);
}

/* "...; 3 of 64 nodes did not report: ..." */
static int count_lost(const char *reason)
{
    static const char *const verbs[] = {" did not report", " went away after"};
    const char *at = NULL;
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0] && !at; i++)
        at = strstr(reason, verbs[i]);
    if (!at)
        return 0;
    while (at > reason && strncmp(at, "; ", 2) != 0)
        at--;
    return atoi(at + strspn(at, "; "));
}

static void take_verdict(struct nodes *nodes, struct member *member, const json_t *object)
{
    struct crowd_tally *tally = nodes->tally;
    const char *reason = json_string_value(json_object_get(object, "reason"));
    member->answered = true;
    tally->go += json_is_true(json_object_get(object, "go"));
    tally->lost = count_lost(reason ? reason : "");
    tally->last_verdict = crowd_now_ms();
    if (tally->answered++ == 0)
        tally->first_verdict = tally->last_verdict;
}

static void take(struct nodes *nodes, int i, const json_t *object)
{
    struct member *member = &nodes->members[i];
    if (!member->welcomed && dt_message_is(object, "welcome"))
        welcome(nodes, i);
    else if (member->reported && !member->answered && dt_message_is(object, "verdict"))
        take_verdict(nodes, member, object);
    else
        crowd_die("dt-gather", "a message out of turn");
}

static void hear(struct nodes *nodes, int i)
{
    struct member *member = &nodes->members[i];
    char chunk[4096];
    struct dt_error err;
    json_t *object;
    ssize_t n = recv(member->fd, chunk, sizeof chunk, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n == 0 && member->answered) {
        epoll_ctl(nodes->epoll, EPOLL_CTL_DEL, member->fd, NULL);
        return;
    }
    if (n <= 0 && member->welcomed)
        crowd_die("dt-gather", "closed a connection before its verdict");
    if (n <= 0) {
        join_again(nodes, i);
        return;
    }
    nodes->tally->wire_bytes += (size_t)n;
    if (dt_frames_feed(&member->frames, chunk, (size_t)n, &err) < 0)
        crowd_die("dt-gather", err.text);
    while (dt_frames_next(&member->frames, &object, &err) == 1) {
        take(nodes, i, object);
        json_decref(object);
    }
}

static void listen_to_all(struct nodes *nodes)
{
    enum { AT_ONCE = 256 };
    struct epoll_event events[AT_ONCE];
    double left = nodes->late_until > 0 ? nodes->late_until - crowd_now_ms() : PATIENCE_MS;
    int n = left > 0 ? epoll_wait(nodes->epoll, events, AT_ONCE, (int)left + 1) : 0;
    if (n == 0 && nodes->late_until == 0)
        crowd_die("dt-gather", "was silent for a minute");
    if (n == 0 && crowd_now_ms() >= nodes->late_until) {
        nodes->late_until = 0;
        report(nodes, nodes->count - 1);
    }
    for (int e = 0; e < n; e++) {
        int i = (int)events[e].data.u32;
        if (!nodes->members[i].connected && events[e].events == EPOLLOUT)
            say_hello(nodes, i);
        else
            hear(nodes, i);
    }
}

void crowd_nodes(const struct crowd *crowd, int first, int count, struct crowd_tally *tally)
{
    struct nodes nodes = {.crowd = crowd, .tally = tally, .first = first, .count = count};
    nodes.members = calloc((size_t)count, sizeof *nodes.members);
    nodes.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!nodes.members || nodes.epoll < 0)
        crowd_die("start", strerror(errno));
    load_report(&nodes);
    for (int i = 0; i < count; i++)
        make_report(&nodes, i);
    meet(crowd, CROWD_READY);
    tally->started = crowd_now_ms();
    while (tally->answered < count) {
        while (nodes.joined < count && nodes.joined - nodes.welcomed < crowd->at_a_time)
            join(&nodes, nodes.joined++);
        listen_to_all(&nodes);
    }
    for (int i = 0; i < count; i++) {
        close(nodes.members[i].fd);
        dt_frames_fini(&nodes.members[i].frames);
    }
    close(nodes.epoll);
    free(nodes.members);
    dt_check_results_fini(&nodes.checks);
    dt_facts_fini(&nodes.facts);
}
