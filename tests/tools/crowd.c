/* SPDX-License-Identifier: Apache-2.0 */
/* A crowd of nodes for one dt-gather, in one process: each connects, says hello, reports as dt-node
 * does (lib/report/message.h) and waits for the verdict. Prints one line of "name=value" numbers:
 * what the crowd waited, what a report weighs, and what dt-gather cost. For bench/launch and
 * tests/cli/gather.bats.
 *
 *   crowd [--nodes N] [--file FILE] [--odd K] [--together] REPORT DT-GATHER
 *
 * REPORT: what dt-node --print --json gave for one node. --file: dt-gather writes its report file
 * there. --odd: node K has another kernel. --together: all report at one moment, when all are
 * welcomed; else each as soon as it is welcome, as in life. */
#include <argp.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
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
    bool welcomed, reported, answered;
    struct dt_frames frames;
};

struct crowd {
    const char *report, *gather, *file;
    int nodes, odd;
    bool together;
    char *rendezvous; /* its line */
    struct dt_rendezvous address;
    pid_t pid;
    int to_gather;
    int epoll;
    struct member *members;
    struct dt_facts facts;
    struct dt_check_results checks;
    int welcomed, answered, go;
    size_t report_bytes;
    double started, first_report, last_report, first_verdict, last_verdict;
};

static void __attribute__((noreturn)) die(const char *what, const char *why)
{
    fprintf(stderr, "crowd: %s: %s\n", what, why);
    exit(1);
}

static double now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void load_report(struct crowd *crowd)
{
    json_error_t where;
    struct dt_error err;
    json_t *json = json_load_file(crowd->report, 0, &where);
    if (!json)
        die(crowd->report, where.text);
    if (dt_facts_from_json(&crowd->facts, json_object_get(json, "facts"), &err) < 0 ||
        dt_check_results_from_json(&crowd->checks, json_object_get(json, "checks"), &err) < 0)
        die(crowd->report, err.text);
    json_decref(json);
}

static void start_gather(struct crowd *crowd)
{
    int in[2], out[2];
    char count[16], line[1024] = "";
    if (pipe(in) < 0 || pipe(out) < 0)
        die("pipe", strerror(errno));
    snprintf(count, sizeof count, "%d", crowd->nodes);
    crowd->pid = fork();
    if (crowd->pid == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        close(in[1]);
        execl(crowd->gather, "dt-gather", "--nodes", count, "--job", "7.0", "--timeout", "50",
              crowd->file ? "--report" : (char *)NULL, crowd->file, (char *)NULL);
        die(crowd->gather, strerror(errno));
    }
    close(in[0]);
    close(out[1]);
    crowd->to_gather = in[1];
    size_t len = 0;
    ssize_t n;
    while (len + 1 < sizeof line && !strchr(line, '\n') &&
           (n = read(out[0], line + len, sizeof line - 1 - len)) > 0)
        len += (size_t)n;
    close(out[0]);
    struct dt_error err;
    line[strcspn(line, "\n")] = '\0';
    if (strncmp(line, "rendezvous ", 11) != 0 ||
        dt_rendezvous_parse(&crowd->address, line + 11, &err) < 0)
        die("dt-gather", line);
}

static void encode(json_t *object, unsigned char **bytes, size_t *len)
{
    struct dt_error err;
    if (!object || dt_frame_encode(object, bytes, len, &err) < 0)
        die("a message", "can not be encoded");
    json_decref(object);
}

static void send_bytes(int fd, const unsigned char *bytes, size_t len)
{
    if (send(fd, bytes, len, MSG_NOSIGNAL) != (ssize_t)len)
        die("send", strerror(errno));
}

static json_t *make_hello(const struct crowd *crowd, int i)
{
    char name[32];
    snprintf(name, sizeof name, "n%05d", i);
    struct dt_hello hello = {.token = crowd->address.token,
                             .node = name,
                             .step = "7.0",
                             .node_id = i,
                             .node_count = crowd->nodes,
                             .tasks = crowd->nodes * 8,
                             .het_group = -1};
    return dt_hello_to_json(&hello);
}

static void join(struct crowd *crowd, int i)
{
    struct member *member = &crowd->members[i];
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(crowd->address.port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)i};
    unsigned char *hello;
    size_t len;
    int on = 1;
    member->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (member->fd < 0 || connect(member->fd, (struct sockaddr *)&to, sizeof to) < 0)
        die("connect", strerror(errno));
    setsockopt(member->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    dt_frames_init(&member->frames, DT_WIRE_FRAME_MAX);
    encode(make_hello(crowd, i), &hello, &len);
    send_bytes(member->fd, hello, len);
    free(hello);
    if (epoll_ctl(crowd->epoll, EPOLL_CTL_ADD, member->fd, &event) < 0)
        die("epoll", strerror(errno));
}

static void put_detail_first(const struct crowd *crowd, struct member *member)
{
    unsigned char *detail;
    size_t len;
    encode(dt_detail_message(&crowd->facts, &crowd->checks), &detail, &len);
    detail = realloc(detail, len + member->report_len);
    if (!detail)
        die("a report", "out of memory");
    memcpy(detail + len, member->report, member->report_len);
    free(member->report);
    member->report = detail;
    member->report_len += len;
}

/* Real nodes differ in their name and clock only. */
static void make_report(struct crowd *crowd, int i)
{
    struct member *member = &crowd->members[i];
    char name[32], *kernel = NULL;
    const char *text;
    if (!dt_facts_string(&crowd->facts, "kernel.release", &text) || !(kernel = strdup(text)))
        die(crowd->report, "has no kernel.release");
    snprintf(name, sizeof name, "n%05d", i);
    dt_facts_set_string(&crowd->facts, "node.name", name);
    dt_facts_set_int(&crowd->facts, "clock.offset_us", i % 97);
    dt_facts_set_int(&crowd->facts, "clock.rtt_us", 100 + i % 13);
    if (i == crowd->odd)
        dt_facts_set_string(&crowd->facts, "kernel.release", "5.4.0-odd");
    struct dt_report_message message = {.facts = &crowd->facts,
                                        .checks = &crowd->checks,
                                        .env = "env: 7 variables set",
                                        .port = 40000,
                                        .took_us = 5000 + i};
    encode(dt_report_message(&message), &member->report, &member->report_len);
    if (crowd->file)
        put_detail_first(crowd, member);
    crowd->report_bytes += member->report_len;
    dt_facts_set_string(&crowd->facts, "kernel.release", kernel);
    free(kernel);
}

static void report(struct crowd *crowd, int i)
{
    struct member *member = &crowd->members[i];
    member->reported = true;
    if (crowd->first_report == 0)
        crowd->first_report = now_ms();
    send_bytes(member->fd, member->report, member->report_len);
    free(member->report);
    member->report = NULL;
    crowd->last_report = now_ms();
}

static void take(struct crowd *crowd, int i, const json_t *object)
{
    struct member *member = &crowd->members[i];
    if (!member->welcomed && dt_message_is(object, "welcome")) {
        member->welcomed = true;
        crowd->welcomed++;
        if (!crowd->together)
            report(crowd, i);
        for (int k = 0; crowd->together && crowd->welcomed == crowd->nodes && k < crowd->nodes; k++)
            report(crowd, k);
    } else if (member->reported && !member->answered && dt_message_is(object, "verdict")) {
        member->answered = true;
        crowd->go += json_is_true(json_object_get(object, "go"));
        crowd->last_verdict = now_ms();
        if (crowd->answered++ == 0)
            crowd->first_verdict = crowd->last_verdict;
    } else {
        die("dt-gather", "a message out of turn");
    }
}

static void hear(struct crowd *crowd, int i)
{
    struct member *member = &crowd->members[i];
    char chunk[4096];
    struct dt_error err;
    json_t *object;
    ssize_t n = recv(member->fd, chunk, sizeof chunk, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n == 0 && member->answered) {
        epoll_ctl(crowd->epoll, EPOLL_CTL_DEL, member->fd, NULL);
        return;
    }
    if (n <= 0)
        die("dt-gather", "closed a connection before its verdict");
    if (dt_frames_feed(&member->frames, chunk, (size_t)n, &err) < 0)
        die("dt-gather", err.text);
    while (dt_frames_next(&member->frames, &object, &err) == 1) {
        take(crowd, i, object);
        json_decref(object);
    }
}

static void listen_to_all(struct crowd *crowd, bool wait)
{
    enum { AT_ONCE = 256 };
    struct epoll_event events[AT_ONCE];
    int n = epoll_wait(crowd->epoll, events, AT_ONCE, wait ? PATIENCE_MS : 0);
    if (n == 0 && wait)
        die("dt-gather", "was silent for a minute");
    for (int e = 0; e < n; e++)
        hear(crowd, (int)events[e].data.u32);
}

static void run(struct crowd *crowd)
{
    for (int i = 0; i < crowd->nodes; i++)
        make_report(crowd, i);
    crowd->started = now_ms();
    for (int i = 0; i < crowd->nodes; i++) {
        join(crowd, i);
        if (i % 64 == 63)
            listen_to_all(crowd, false);
    }
    while (crowd->answered < crowd->nodes)
        listen_to_all(crowd, true);
}

static void print(const struct crowd *crowd)
{
    struct rusage used;
    int status;
    wait4(crowd->pid, &status, 0, &used);
    double cpu = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1e3 +
                 (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e3;
    printf("nodes=%d go=%d code=%d report_bytes=%zu from_last_report_ms=%.1f "
           "from_first_report_ms=%.1f all_told_ms=%.1f cpu_us_a_node=%.0f rss_mib=%.1f\n",
           crowd->nodes, crowd->go, WIFEXITED(status) ? WEXITSTATUS(status) : -1,
           crowd->report_bytes / (size_t)crowd->nodes, crowd->last_verdict - crowd->last_report,
           crowd->last_verdict - crowd->first_report, crowd->last_verdict - crowd->started,
           cpu * 1e3 / crowd->nodes, (double)used.ru_maxrss / 1024);
}

enum { KEY_NODES = 'n', KEY_FILE = 'f', KEY_ODD = 'o', KEY_TOGETHER = 't' };

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    struct crowd *crowd = state->input;
    switch (key) {
    case KEY_NODES:
        crowd->nodes = atoi(arg);
        if (crowd->nodes < 1 || crowd->nodes > 65536)
            argp_error(state, "--nodes '%s' is not 1 to 65536", arg);
        break;
    case KEY_FILE:
        crowd->file = arg;
        break;
    case KEY_ODD:
        crowd->odd = atoi(arg);
        break;
    case KEY_TOGETHER:
        crowd->together = true;
        break;
    case ARGP_KEY_ARG:
        if (state->arg_num > 1)
            argp_usage(state);
        *(state->arg_num ? &crowd->gather : &crowd->report) = arg;
        break;
    case ARGP_KEY_END:
        if (state->arg_num != 2)
            argp_usage(state);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

int main(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"nodes", KEY_NODES, "N", 0, "How many nodes (64)", 0},
        {"file", KEY_FILE, "FILE", 0, "Have dt-gather write its report file", 0},
        {"odd", KEY_ODD, "K", 0, "Node K has another kernel", 0},
        {"together", KEY_TOGETHER, NULL, 0, "All report at one moment", 0},
        {NULL, 0, NULL, 0, NULL, 0}};
    static const struct argp argp = {options, parse_option, "REPORT DT-GATHER", NULL, NULL,
                                     NULL,    NULL};
    struct crowd crowd = {.nodes = 64, .odd = -1};
    struct rlimit files;
    argp_parse(&argp, argc, argv, 0, NULL, &crowd);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    load_report(&crowd);
    crowd.members = calloc((size_t)crowd.nodes, sizeof *crowd.members);
    crowd.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!crowd.members || crowd.epoll < 0)
        die("start", strerror(errno));
    start_gather(&crowd);
    run(&crowd);
    print(&crowd);
    close(crowd.to_gather);
    for (int i = 0; i < crowd.nodes; i++) {
        close(crowd.members[i].fd);
        dt_frames_fini(&crowd.members[i].frames);
    }
    free(crowd.members);
    close(crowd.epoll);
    dt_check_results_fini(&crowd.checks);
    dt_facts_fini(&crowd.facts);
    dt_rendezvous_fini(&crowd.address);
    return 0;
}
