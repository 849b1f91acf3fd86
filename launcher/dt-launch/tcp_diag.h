/* SPDX-License-Identifier: Apache-2.0 */
/* The TCP connections of this network namespace, as the kernel's sock_diag tells of them (which any user may ask). */
#ifndef DT_LAUNCH_TCP_DIAG_H
#define DT_LAUNCH_TCP_DIAG_H

#include <stddef.h>

#define DT_TCP_NAME 60 /* "ADDRESS:PORT" */

struct dt_tcp {
    unsigned inode;
    int state;       /* TCP_ESTABLISHED, TCP_SYN_SENT ... of netinet/tcp.h */
    int timer;       /* what the kernel waits for: 0, DT_TCP_TIMER_PROBE, or others */
    int tries;       /* how often what was sent, or the probe, was sent again without an answer */
    unsigned unread; /* bytes that have come and were not read */
    unsigned unsent; /* bytes that were written and are not acknowledged */
    double silent_s; /* since anything last came from the peer */
    char own[DT_TCP_NAME], peer[DT_TCP_NAME];
};

#define DT_TCP_TIMER_PROBE 4 /* the peer takes no more, and is asked now and then */

/* By inode, those that have a process and a peer; the caller frees them. NULL: none, or not told. */
struct dt_tcp *dt_tcp_list(size_t *count);
const struct dt_tcp *dt_tcp_find(const struct dt_tcp *list, size_t count, unsigned inode);

#endif
