/* SPDX-License-Identifier: Apache-2.0 */
/* The port that nodes connect to, and the addresses to tell them. */
#ifndef DT_GATHER_LISTEN_H
#define DT_GATHER_LISTEN_H

#include <stdint.h>

#include "base/error.h"

#define LISTEN_ADDRESSES_MAX 16 /* announced; dt-node tries them side by side */

struct listening {
    int fd4, fd6; /* bound, non-blocking, not yet listening; -1: this family is not here */
    uint16_t port;
};

/* low, high: range of ports; 0, 0: the kernel chooses. */
int listen_bind(struct listening *listening, int low, int high, struct dt_error *err);

/* Numeric addresses of this machine, the default route's first, bridges of containers last,
 * loopback only when there is nothing else; NULL-terminated. Each string and the array are the
 * caller's. */
int listen_addresses(char ***addresses, struct dt_error *err);

#endif
