/* SPDX-License-Identifier: Apache-2.0 */
/* The dt-launch of all nodes as one job: that of node 0 leads and serves the store, the others are its
 * members (lib/link has what they say). One that stands alone leads itself. The session moves
 * messages; what they mean for the ranks is supervise.c's. */
#ifndef DT_LAUNCH_SESSION_H
#define DT_LAUNCH_SESSION_H

#include <stdbool.h>

#include "base/error.h"
#include "cause/cause.h"
#include "link/link.h"
#include "place.h"
#include "prepare.h"
#include "server.h"

struct dt_session;

#define DT_PATIENCE_S     30.0
#define DT_PATIENCE_LEAST 3.0 /* peers speak every 2 s */

struct dt_session_handler {
    void *argument;
    /* The lead: a rank of another node, or a node, has failed. Takes the failure over. */
    void (*failed)(void *argument, struct dt_failure *failure);
    /* A member: end your ranks. */
    void (*stop)(void *argument);
    /* A member: the lead has named the cause; end with this code. */
    void (*verdict)(void *argument, int code);
    /* A member: there will be another attempt; and: start it. */
    void (*again)(void *argument, int restarts);
    void (*start)(void *argument, int restarts);
    /* A member: the lead is gone. */
    void (*lead_lost)(void *argument);
    /* A member: which of your ranks have connected? */
    void (*who)(void *argument, long long query);
    /* A member: the lead looks for what hangs, or has the job saved (look, give-up, save). */
    void (*told)(void *argument, const struct dt_link_message *message);
    /* The lead: the role whose end is the job's has ended well. */
    void (*finished)(void *argument);
    /* The lead: a folded line of a member (NULL: none). Whether there is room for more. */
    bool (*line)(void *argument, const struct dt_link_message *message);
    /* A member: the lead has shown so many bytes of our lines. */
    void (*taken)(void *argument, long long bytes);
    /* The lead: an answer to these (rank, told, seen), or what a member says by itself (pulse, pace,
     * warned, saved). */
    void (*heard)(void *argument, const struct dt_link_message *message, const char *node);
};

/* The lead. Takes master->listener over when there is one. */
struct dt_session *dt_session_lead(const struct dt_place *place, struct dt_master *master,
                                   struct dt_error *err);
/* A member: connects to node 0, waits as long as it takes (saying so), and fills in the ports. */
struct dt_session *dt_session_member(const struct dt_place *place, struct dt_master *master,
                                     struct dt_error *err);
void dt_session_close(struct dt_session *session);

/* A peer that says nothing for so long is lost: its network is cut. At first 30 s. */
void dt_session_patience(struct dt_session *session, double seconds);

bool dt_session_leads(const struct dt_session *session);
/* To be polled for input; then dt_session_work. Both roles also call it at least once a second. */
int dt_session_fd(const struct dt_session *session);
void dt_session_work(struct dt_session *session, const struct dt_session_handler *handler);

/* A member tells the lead. */
void dt_session_report(struct dt_session *session, const struct dt_failure *failure);
void dt_session_done(struct dt_session *session, int code, int left);

/* The lead tells its members. */
void dt_session_stop(struct dt_session *session);
void dt_session_verdict(struct dt_session *session, int code);
/* Another attempt is decided: from now on no node may be lost any more. */
void dt_session_again(struct dt_session *session, int restarts);
/* All nodes are empty: an empty store, and all start. */
void dt_session_start(struct dt_session *session, int restarts);
/* Name of a node where processes of the last attempt could not be ended; NULL: none. */
const char *dt_session_unclean(const struct dt_session *session);
/* Members that have joined and are neither done nor lost; those that never came; those that are
 * connected. */
int dt_session_busy(const struct dt_session *session);
int dt_session_missing(const struct dt_session *session);
int dt_session_connected(const struct dt_session *session);
void dt_session_ask(struct dt_session *session, long long query);
/* Name of a node by its number; NULL: the lead does not know it (yet). */
const char *dt_session_node(const struct dt_session *session, int node);
struct dt_server *dt_session_server(struct dt_session *session);

void dt_session_broadcast(struct dt_session *session,
                          const struct dt_link_message *message); /* the lead, to all members */
void dt_session_tell(struct dt_session *session,
                     const struct dt_link_message *message); /* the lead */
/* Lines of output, many at a time: they leave together, when `message` is NULL at last. */
void dt_session_tell_lines(struct dt_session *session, const struct dt_link_message *message);
int dt_session_port(const struct dt_session *session);           /* MASTER_PORT */
long long dt_session_ahead_ns(const struct dt_session *session); /* the lead's clock, of ours */
const struct dt_place *dt_session_place(const struct dt_session *session);

#endif
