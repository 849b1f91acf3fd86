/* SPDX-License-Identifier: Apache-2.0 */
/* MASTER_ADDR and MASTER_PORT: the user's or the plugin's own if they are there, else worked out.
 *
 * No resolver is used: a static binary in a foreign image has none to trust. Node 0 finds its own
 * address by asking the kernel for the route to srun's host. Other nodes look node 0's name up in
 * /etc/hosts, and else hand on the name itself, which the program's own resolver may know.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hosts.h"
#include "prepare.h"
#include "server.h"

#define PORT_FIRST 20000 /* below Linux's ephemeral ports, which begin at 32768 */
#define PORT_COUNT 12768
#define PLAIN_PORT 29500 /* torchrun's, for --nnodes without a port */

/* ---- address ----------------------------------------------------------------------------- */

/* The source address that the kernel would use to reach `target`. No packet is sent. */
static char *route_source(const char *target)
{
    union address address;
    char text[INET6_ADDRSTRLEN];
    socklen_t length = sizeof address;
    char *result = NULL;
    if (!target || !address_read(&address, target) || address_is_loopback(&address))
        return NULL;
    address_set_port(&address, 9); /* discard; any port will do */
    int fd = socket(address.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return NULL;
    if (connect(fd, &address.any, address_length(&address)) == 0 &&
        getsockname(fd, &address.any, &length) == 0 && !address_is_loopback(&address) &&
        address_write(&address, text, sizeof text))
        result = strdup(text);
    close(fd);
    return result;
}

static char *own_address(const struct dt_place *place)
{
    char *address = route_source(getenv("SLURM_LAUNCH_NODE_IPADDR"));
    if (!address)
        address = dt_hosts_lookup(place->first_node ? place->first_node : place->node_name);
    if (!address && (place->in_step || place->node_count > 1))
        address =
            route_source("192.0.2.1"); /* a documentation address: follows the default route */
    if (!address && place->node_count > 1 && place->first_node)
        address = strdup(place->first_node);
    return address ? address : strdup("127.0.0.1");
}

static char *find_address(const struct dt_place *place, const struct dt_options *options)
{
    const char *given = options->master_addr ? options->master_addr : getenv("MASTER_ADDR");
    if (given && *given)
        return strdup(given);
    if (place->node_count == 1 && !place->in_step)
        return strdup("127.0.0.1");
    if (place->node_rank == 0)
        return options->local_addr ? strdup(options->local_addr) : own_address(place);
    char *address = dt_hosts_lookup(place->first_node ? place->first_node : "");
    return address || !place->first_node ? address : strdup(place->first_node);
}

/* ---- port -------------------------------------------------------------------------------- */

/* All nodes must come to the same numbers without talking. */
static int step_port(const struct dt_place *place, int candidate)
{
    return PORT_FIRST + (int)((place->job * 101 + place->step + candidate * 257L) % PORT_COUNT);
}

/* Bind, do not listen, keep: nobody else is given the port, and a program that binds with
 * SO_REUSEADDR, as PyTorch, JAX and MPI do, can. */
static int hold_port(int *port)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons((uint16_t)*port)};
    socklen_t length = sizeof any;
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) ||
        bind(fd, (struct sockaddr *)&any, sizeof any) ||
        getsockname(fd, (struct sockaddr *)&any, &length)) {
        close(fd);
        return -1;
    }
    *port = ntohs(any.sin_port);
    return fd;
}

static int read_port(const char *text, int *port, struct dt_error *err)
{
    char *end;
    errno = 0;
    long n = strtol(text, &end, 10);
    if (errno || end == text || *end || n < 1 || n > 65535)
        return dt_error_set(err, "MASTER_PORT is \"%.60s\": a number from 1 to 65535 is needed",
                            text);
    *port = (int)n;
    return 0;
}

/* The ports that may be MASTER_PORT; none: any that is free on this node. */
static int find_candidates(struct dt_master *master, const struct dt_place *place,
                           const struct dt_options *options, struct dt_error *err)
{
    const char *given = getenv("MASTER_PORT");
    int *ports = master->candidates;
    master->candidate_count = 1;
    if (options->master_port)
        ports[0] = options->master_port;
    else if (given && *given)
        return read_port(given, &ports[0], err);
    else if (place->first_port)
        ports[0] = place->first_port;
    else if (place->in_step)
        for (int i = 0; i < DT_MASTER_CANDIDATES; i++, master->candidate_count = i)
            ports[i] = step_port(place, i);
    else if (place->node_count > 1)
        ports[0] = PLAIN_PORT;
    else
        master->candidate_count = 0;
    return 0;
}

/* Node 0: listen before anybody is told. */
static int serve(struct dt_master *master, const struct dt_place *place, struct dt_error *err)
{
    int count = master->candidate_count;
    master->listener = count ? -1 : dt_server_listen(0, &master->port);
    for (int i = 0; i < count && master->listener < 0; i++)
        master->listener = dt_server_listen(master->candidates[i], &master->port);
    if (master->listener >= 0)
        return 0;
    if (count == 1)
        return dt_error_set(
            err,
            "MASTER_PORT %d can not be had on node 0 (%s): %s; choose another port, "
            "or give --store rank0 if the program serves on it itself",
            master->candidates[0], place->node_name, strerror(errno));
    return dt_error_set(err, "none of %d ports tried for MASTER_PORT can be had on node 0 (%s): %s",
                        count, place->node_name, strerror(errno));
}

/* Rank 0 of the program serves: its port is only reserved, where we may choose it. */
static int leave_to_rank0(struct dt_master *master, struct dt_error *err)
{
    if (master->candidate_count)
        master->port = master->candidates[0];
    else if ((master->hold = hold_port(&master->port)) < 0)
        return dt_error_set(err, "no TCP port can be bound for MASTER_PORT: %s", strerror(errno));
    master->jax_port = master->port;
    return 0;
}

static int find_ports(struct dt_master *master, const struct dt_place *place,
                      const struct dt_options *options, struct dt_error *err)
{
    master->serves = dt_place_serves(place, options);
    if (find_candidates(master, place, options, err))
        return -1;
    if (!master->serves)
        return leave_to_rank0(master, err);
    if (options->dry_run) { /* what it would be if all are free */
        master->port = master->candidate_count ? master->candidates[0] : PLAIN_PORT;
        master->jax_port = master->port + 1;
        return 0;
    }
    if (place->node_rank > 0)
        return 0;
    master->jax_hold =
        hold_port(&master->jax_port); /* without one JAX is told port 0, and says so */
    return serve(master, place, err);
}

int dt_master_find(struct dt_master *master, const struct dt_place *place,
                   const struct dt_options *options, struct dt_error *err)
{
    *master = (struct dt_master){.hold = -1, .jax_hold = -1, .listener = -1};
    if (find_ports(master, place, options, err) == 0) {
        master->addr = find_address(place, options);
        if (master->addr)
            return 0;
        dt_error_set(err, "MASTER_ADDR is not set and node 0 is not known: SLURM_STEP_NODELIST is "
                          "missing; give --master-addr");
    }
    dt_master_fini(master);
    return -1;
}

void dt_master_fini(struct dt_master *master)
{
    int fds[] = {master->hold, master->jax_hold, master->listener};
    free(master->addr);
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
    }
    *master = (struct dt_master){.hold = -1, .jax_hold = -1, .listener = -1};
}
