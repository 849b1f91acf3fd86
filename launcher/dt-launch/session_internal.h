/* SPDX-License-Identifier: Apache-2.0 */
/* Private to the session: its peers and their bytes. */
#ifndef DT_LAUNCH_SESSION_INTERNAL_H
#define DT_LAUNCH_SESSION_INTERNAL_H

#include "link/link.h"
#include "session.h"
#include "worker.h"

struct peer {
    int fd; /* -1: gone */
    struct dt_link_reader in;
    struct dt_buf out;
    bool writing;
    double heard; /* when it last said something (s) */
    /* what the lead knows of a member */
    int node; /* -1: it has not said hello */
    int first, count;
    char *name;
    bool done;
    int left;       /* processes that it could not end */
    long long owed; /* bytes of its lines that are here, and that it has not been told of */
};

struct dt_session {
    const struct dt_place *place;
    bool leads;
    int expected; /* members */
    int joined;
    int poll;
    int agents[2]; /* pipe from the server, with descriptors of members */
    struct dt_server *server;
    int master_port, jax_port;
    struct peer **peers; /* the lead's members; a member's lead is peers[0] */
    size_t peer_count;
    struct dt_link_clock clock; /* how far the lead is ahead */
    double next_ping;
    double patience; /* s */
    bool stopped;
    int verdict; /* -1: none yet */
    int again;   /* restarts that there will have been, while one is under way; 0: none is */
};

/* session_lead.c: a message of a member (-1: it is none of dt-launch's), its lines that were taken, its
 * end. */
int dt_session_from_member(struct dt_session *session, struct peer *peer,
                           struct dt_link_message *message,
                           const struct dt_session_handler *handler);
void dt_session_thank(struct dt_session *session, struct peer *peer);
void dt_session_member_lost(struct dt_session *session, struct peer *peer, const char *how,
                            const struct dt_session_handler *handler);

/* Ask the lead for its time, when that is due. */
void dt_session_ping(struct dt_session *session);

struct peer *dt_peer_add(struct dt_session *session, int fd); /* closes fd on failure */
void dt_peer_free(struct peer *peer);
void dt_peer_send(struct dt_session *session, struct peer *peer,
                  const struct dt_link_message *message);
void dt_peer_flush(struct dt_session *session, struct peer *peer);
void dt_peer_gone(struct dt_session *session, struct peer *peer);
/* 1: some bytes came; 0: none now; -1: it is gone. */
int dt_peer_receive(struct peer *peer);

#endif
