/* SPDX-License-Identifier: Apache-2.0 */
/* Numeric IP addresses of either family. */
#ifndef DT_LAUNCH_ADDRESS_H
#define DT_LAUNCH_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/* "10.0.0.1" or "fe80::1", without a port. false: it is neither. */
bool address_read(union address *address, const char *text);
/* The opposite. false: it does not fit, or the family is another. */
bool address_write(const union address *address, char *text, size_t size);
void address_set_port(union address *address, int port);
/* What connect(2) and bind(2) want to know. */
bool address_is_loopback(const union address *address);
socklen_t address_length(const union address *address);

#endif
