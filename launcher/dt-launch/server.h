/* SPDX-License-Identifier: Apache-2.0 */
/* The port where the ranks meet: a thread that serves PyTorch's store (lib/store) on MASTER_PORT. The
 * dt-launch of other nodes connect to the same port; their connections are handed over unread. */
#ifndef DT_LAUNCH_SERVER_H
#define DT_LAUNCH_SERVER_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* The first byte that a dt-launch sends; no command of the store begins with it. */
#define DT_SERVER_AGENT 'd'

struct dt_server;

/* Listen on all addresses. port 0: any free one. Returns the socket, or -1 with errno. */
int dt_server_listen(int port, int *bound);

/* Takes the listening socket over. `agents`: a pipe's end; the descriptor (an int) of each dt-launch
 * that connects is written to it. */
struct dt_server *dt_server_start(int listener, int agents, struct dt_error *err);
void dt_server_stop(struct dt_server *server);

/* Forget all keys, and close the connections of all ranks: another attempt finds an empty store. */
void dt_server_renew(struct dt_server *server);

/* Who is connected, and for what it waits. */
struct dt_server_client {
    char peer[48]; /* "ADDRESS:PORT", as the client's side has it */
    char *key;     /* that it waits for; NULL: it does not wait */
};
struct dt_server_view {
    struct dt_server_client *clients;
    size_t count;
    unsigned long refused; /* connections that did not speak the protocol, so far */
    char last_refusal[160];
};
int dt_server_look(struct dt_server *server, struct dt_server_view *view);
void dt_server_view_fini(struct dt_server_view *view);

#endif
