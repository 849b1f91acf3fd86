/* SPDX-License-Identifier: Apache-2.0 */
/* Names of hosts, without a resolver of our own. */
#ifndef DT_LAUNCH_HOSTS_H
#define DT_LAUNCH_HOSTS_H

#include "address.h"

/* A numeric address from /etc/hosts, no loopback; NULL: none. Caller frees. */
char *dt_hosts_lookup(const char *name);
/* The first name of that line, which is the whole one where there is a domain. */
char *dt_hosts_full_name(const char *name);

/* Numeric, in /etc/hosts, or known to getent. */
bool dt_hosts_address(union address *address, const char *name);
/* Is it this host: by its name, or by an address of an interface? */
bool dt_hosts_is_own(const char *name);

#endif
