/* SPDX-License-Identifier: Apache-2.0 */
/* The state of one gather, shared by its few files: roster.c knows the nodes, peer.c the
 * connections, control.c the pipe from srun, judge.c makes the verdict. One thread, one event loop.
 */
#ifndef DT_GATHER_GATHER_H
#define DT_GATHER_GATHER_H

#include <event2/event.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/hostlist.h"
#include "check/check.h"
#include "conf/conf.h"
#include "facts/facts.h"
#include "report/report.h"
#include "listen.h"
#include "options.h"
#include "wire/message.h"

#define HELLO_SECONDS 2    /* a peer that has not said who it is by then is dropped */
#define FLUSH_SECONDS 1    /* for the verdict to leave, at most */
#define KEEPALIVES    500  /* nodes that are asked for a sign of life in one second */
#define REPORT_TRY_MS 2000 /* srun waits for it */
#define REPORT_MIN_MS 500  /* the nodes wait a second longer than this process */
#define REPORT_MAX_MS 5000
#define GRACE_MS      500 /* for the plugin of a node whose dt-node is gone to say why */

struct peer;

struct node {
    struct dt_report_node report; /* name: as it said itself; lost: why there is no report */
    struct peer *reporter;        /* whose report this is; NULL once that connection is gone */
    int connections;              /* open ones that said hello */
    bool reported;
    bool settled;     /* reported, or lost for good */
    bool unexplained; /* lost a moment ago: its plugin may be about to say why */
    int failed_code;  /* exit code that the node asks for; 0: none */
    int port;
    char address[INET6_ADDRSTRLEN]; /* the reporter's */
};

struct component {
    bool known;
    int node_count, tasks;
    struct node *nodes;
    struct dt_hostlist names; /* may be empty */
};

struct gather {
    struct options options;
    struct dt_conf conf;
    char token[DT_TOKEN_HEX + 1];
    struct event_base *base;
    struct listening listening;
    struct dt_buf control_text; /* half a line from srun */
    struct event *accept4, *accept6, *control, *deadline, *grace;
    struct component *components;
    size_t component_count, known_components;
    size_t node_count, settled_count; /* of known components */
    size_t unexplained_count;
    struct peer *peers;             /* list */
    size_t peer_count, unsent;      /* unsent: peers that still wait for their verdict's bytes */
    size_t wrong_tokens, strangers; /* refused connections */
    size_t second_reports;
    double started, first_connection; /* monotonic seconds; 0: none yet */
    double waiting_since;             /* start, or first hello where the start was long before */
    bool said_hello;
    bool decided;
    bool refused_for_lost; /* no-go, and a node is gone that srun may wait for */
    bool silent;           /* srun is gone */
    int code;
};

double gather_now(void); /* monotonic seconds */

/* main.c: the first node is there, so the others are due. */
void gather_first_hello(struct gather *gather);

/* roster.c */
int roster_init(struct gather *gather, struct dt_error *err);
void roster_fini(struct gather *gather);
int roster_know(struct gather *gather, size_t group, int nodes, const char *nodelist,
                struct dt_error *err);
/* The node that says hello; NULL when it can not belong to this step. */
struct node *roster_find(struct gather *gather, const struct dt_hello *hello, struct dt_error *err);
void roster_settle(struct gather *gather, struct node *node);
void roster_lose(struct gather *gather, struct node *node, enum dt_lost how, const char *why);
/* Lost, and its plugin is given a moment to say why. */
void roster_lose_unexplained(struct gather *gather, struct node *node, enum dt_lost how,
                             const char *why);
void roster_explained(struct gather *gather); /* nobody is waited for any more */
void roster_unsettle(struct gather *gather, struct node *node);
void roster_lose_missing(struct gather *gather); /* time is up */
/* Every node has reported or is lost, and what was lost has had its time to explain. */
bool roster_complete(const struct gather *gather);

/* peer.c */
void peer_accept(evutil_socket_t fd, short what, void *gather);
void peers_send_verdict(struct gather *gather, const json_t *verdict);
void peers_fini(struct gather *gather);

/* control.c */
void control_read(evutil_socket_t fd, short what, void *gather);

/* judge.c: compare, decide, write the report, print, tell the nodes. */
void judge(struct gather *gather);
/* The step ended before the verdict: one sentence about whom was waited for. */
void judge_too_late(struct gather *gather);

#endif
