/* SPDX-License-Identifier: Apache-2.0 */
/* What the connections between ranks tell of a hang: which peer does not answer, which one does not read, and who
 * waits to hear from whom. Every node looks at the connections of its own ranks; the lead knows whose the other
 * ends are. */
#ifndef DT_LAUNCH_HANG_WIRES_H
#define DT_LAUNCH_HANG_WIRES_H

#include "base/buf.h"
#include "hang/hang.h"
#include "link/link.h"
#include "processes.h"
#include "tcp_diag.h"

enum dt_wire_kind {
    DT_WIRE_HEARS,    /* the rank waits in a call that reads from it */
    DT_WIRE_UNREAD,   /* bytes have come that it does not read */
    DT_WIRE_FULL,     /* the peer takes no more, as it does not read */
    DT_WIRE_CONNECTS, /* no answer to its wish to connect */
    DT_WIRE_RESENDS,  /* what it has sent is not acknowledged */
    DT_WIRE_KINDS
};

struct dt_wire {
    int rank;
    enum dt_wire_kind kind;
    long long count; /* bytes not read; how often it was sent */
    double silent_s; /* since anything came from the peer */
    char peer[DT_TCP_NAME];
};

struct dt_wires {
    struct dt_wire *list;
    size_t count;
};
void dt_wires_fini(struct dt_wires *wires);
void dt_wires_add(struct dt_wires *wires, const struct dt_wire *wire);

/* One look at all of this node. */
struct dt_wire_look {
    struct dt_tcp *connections;
    size_t connection_count;
    struct dt_process *processes;
    size_t process_count;
    int port; /* of the store: whose connections are told of by their keys */
};
void dt_wire_look_begin(struct dt_wire_look *look, int port);
void dt_wire_look_end(struct dt_wire_look *look);
/* What is notable of a worker's connections; and `own` gets its ends of all of them. */
void dt_wire_look_at(struct dt_wires *wires, struct dt_buf *own, const struct dt_wire_look *look,
                     const struct dt_worker *workers, int worker_count, int index);

/* Whose end an address is; NULL: nobody's who was asked. */
typedef const struct dt_hang_rank *dt_wire_owner_fn(const char *address, const void *argument);
/* Lines for the report, the worst first. all_alike: no rank is odd, so who waits for whom is told as well. */
void dt_wires_report(struct dt_buf *text, struct dt_wires *wires, bool all_alike,
                     dt_wire_owner_fn *owner, const struct dt_hang_rank *ranks, size_t count,
                     const void *argument);

#endif
