/* SPDX-License-Identifier: Apache-2.0 */
/* dt-gather: started by srun's plugin for one step. It says where it listens, collects the nodes'
 * reports until all are there or the time is up, and exits with the verdict's code. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/exitcode.h"
#include "gather.h"
#include "paths.h"
#include "refused.h"
#include "report_file.h"

enum { OTHER_FILES = 32 }; /* beside one a node */

double gather_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* The one line that srun's plugin waits for. */
static int answer(const char *line)
{
    size_t len = strlen(line);
    ssize_t n = write(STDOUT_FILENO, line, len);
    close(STDOUT_FILENO);
    return n == (ssize_t)len ? 0 : -1;
}

static int fail(int code, const struct dt_error *err)
{
    char *line;
    if (asprintf(&line, "fail %d %s\n", code, err->text) >= 0) {
        answer(line);
        free(line);
    }
    return code;
}

static void on_deadline(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    struct gather *g = context;
    if (g->decided)
        return;
    roster_lose_missing(g);
    judge(g);
}

/* Whoever wanted to explain a lost node has had the time. */
static void on_grace(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    struct gather *g = context;
    roster_explained(g);
    if (!g->decided && roster_complete(g))
        judge(g);
}

static void set_up_process(void)
{
    /* ^C in the terminal reaches this process too; srun alone decides what it means. */
    signal(SIGINT, SIG_IGN);
    signal(SIGQUIT, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTTOU, SIG_IGN);
}

/* A connection is an open file. Nodes that can not be heard would be blamed for it, so that is said at
 * the start. */
static int make_room(const struct gather *g, struct dt_error *err)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) < 0)
        return 0;
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    rlim_t need = (rlim_t)g->options.nodes + OTHER_FILES;
    if (files.rlim_max == RLIM_INFINITY || files.rlim_max >= need)
        return 0;
    return dt_error_set(err,
                        "a process may open %llu files where srun runs, and dt needs %llu for %d "
                        "nodes: raise the limit there (ulimit -Hn), or run without --dt-validate",
                        (unsigned long long)files.rlim_max, (unsigned long long)need,
                        g->options.nodes);
}

static int load_conf(struct gather *g, struct dt_error *err)
{
    const char *path = g->options.config ? g->options.config : DT_SYSCONFDIR "/dt.conf";
    return dt_conf_load(&g->conf, path, g->options.config != NULL, err);
}

static struct event *watch(struct gather *g, int fd, event_callback_fn callback)
{
    if (fd < 0)
        return NULL;
    struct event *event = event_new(g->base, fd, EV_READ | EV_PERSIST, callback, g);
    if (event && event_add(event, NULL) < 0) {
        event_free(event);
        return NULL;
    }
    return event;
}

static struct timeval to_timeval(double seconds)
{
    time_t whole = (time_t)seconds;
    return (struct timeval){.tv_sec = whole,
                            .tv_usec = (suseconds_t)((seconds - (double)whole) * 1e6)};
}

/* A het job's srun starts dt-gather before the job waits in the queue, with a timeout of a day. */
void gather_first_hello(struct gather *g)
{
    if (g->said_hello)
        return;
    g->said_hello = true;
    double now = gather_now();
    if (now + g->options.settle_s >= g->started + g->options.timeout_s)
        return;
    struct timeval left = to_timeval(g->options.settle_s);
    g->waiting_since = now;
    evtimer_add(g->deadline, &left);
}

static int start_events(struct gather *g, struct dt_error *err)
{
    struct timeval timeout = to_timeval(g->options.timeout_s);
    struct event_config *config = event_config_new();
    if (config)
        event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER | EVENT_BASE_FLAG_NOLOCK);
    g->base = config ? event_base_new_with_config(config) : NULL;
    if (config)
        event_config_free(config);
    if (!g->base)
        return dt_error_set(err, "the event loop could not be set up");
    g->accept4 = watch(g, g->listening.fd4, peer_accept);
    g->accept6 = watch(g, g->listening.fd6, peer_accept);
    g->control = watch(g, STDIN_FILENO, control_read);
    g->deadline = evtimer_new(g->base, on_deadline, g);
    g->grace = evtimer_new(g->base, on_grace, g);
    if (!g->control || !g->deadline || !g->grace || (!g->accept4 && !g->accept6) ||
        evtimer_add(g->deadline, &timeout) < 0)
        return dt_error_set(err,
                            "standard input can not be waited for: it must be a pipe from srun");
    return 0;
}

static int announce(struct gather *g, struct dt_error *err)
{
    struct dt_rendezvous rendezvous = {.port = g->listening.port};
    int rc = -1;
    char *text = NULL, *line = NULL;
    if (dt_token_create(g->token, err) < 0 || listen_addresses(&rendezvous.addresses, err) < 0)
        goto out;
    memcpy(rendezvous.token, g->token, sizeof rendezvous.token);
    text = dt_rendezvous_format(&rendezvous);
    if (!text || asprintf(&line, "rendezvous %s\n", text) < 0) {
        dt_error_set(err, "out of memory");
        goto out;
    }
    rc = answer(line);
    if (rc < 0)
        dt_error_set(err, "srun does not read the rendezvous text");
out:
    free(line);
    free(text);
    dt_rendezvous_fini(&rendezvous);
    return rc;
}

/* 0, or the exit code that the sentence goes with. */
static int start(struct gather *g, struct dt_error *err)
{
    if (load_conf(g, err) < 0)
        return DT_EXIT_CONFIG;
    if (g->options.report && report_file_try(g->options.report, REPORT_TRY_MS, err) < 0)
        return DT_EXIT_REPORT;
    if (roster_init(g, err) < 0)
        return DT_EXIT_USAGE;
    if (make_room(g, err) < 0 ||
        listen_bind(&g->listening, g->options.port_low, g->options.port_high, err) < 0 ||
        start_events(g, err) < 0 || announce(g, err) < 0)
        return DT_EXIT_HELPER;
    return 0;
}

static void free_event(struct event *event)
{
    if (event)
        event_free(event);
}

static void finish(struct gather *g)
{
    peers_fini(g);
    free_event(g->accept4);
    free_event(g->accept6);
    free_event(g->control);
    free_event(g->deadline);
    free_event(g->grace);
    if (g->base)
        event_base_free(g->base);
    if (g->listening.fd4 >= 0)
        close(g->listening.fd4);
    if (g->listening.fd6 >= 0)
        close(g->listening.fd6);
    roster_fini(g);
    dt_buf_fini(&g->control_text);
    dt_conf_fini(&g->conf);
    options_fini(&g->options);
}

int main(int argc, char **argv)
{
    struct gather g = {.started = gather_now(), .listening = {.fd4 = -1, .fd6 = -1}};
    struct dt_error err = {{0}};
    g.waiting_since = g.started;
    options_parse(&g.options, argc, argv);
    set_up_process();
    int code = start(&g, &err);
    if (code != 0) {
        fail(code, &err);
    } else {
        event_base_dispatch(g.base);
        code = g.silent && !g.decided ? 0 : g.code;
    }
    finish(&g);
    if (g.refused_for_lost && !g.silent)
        refused_end_srun();
    return code;
}
