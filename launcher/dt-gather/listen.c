/* SPDX-License-Identifier: Apache-2.0 */
/* Binding one port for both IP families, and finding the addresses by which nodes may reach it. */
#include "listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int bind_one(int family, uint16_t port)
{
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    struct sockaddr_in in4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    int on = 1;
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    int rc = family == AF_INET6 ? bind(fd, (struct sockaddr *)&in6, sizeof in6)
                                : bind(fd, (struct sockaddr *)&in4, sizeof in4);
    /* Two sockets with SO_REUSEADDR may be bound to one port; only listen() tells them apart. */
    if (rc == 0)
        rc = listen(fd, 4096);
    if (rc < 0) {
        int saved = errno;
        close(fd);
        return -saved;
    }
    return fd;
}

static uint16_t port_of(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    } address;
    socklen_t len = sizeof address;
    memset(&address, 0, sizeof address);
    if (getsockname(fd, &address.any, &len) < 0)
        return 0;
    return ntohs(address.any.sa_family == AF_INET6 ? address.in6.sin6_port : address.in.sin_port);
}

/* One port, both families where they exist. 0 or -errno. */
static int bind_both(struct listening *l, uint16_t port)
{
    l->fd6 = -1;
    l->fd4 = bind_one(AF_INET, port);
    if (l->fd4 < 0 && l->fd4 != -EAFNOSUPPORT)
        return l->fd4;
    l->port = l->fd4 < 0 ? port : port_of(l->fd4);
    l->fd6 = bind_one(AF_INET6, l->port);
    if (l->fd6 == -EADDRINUSE || (l->fd4 < 0 && l->fd6 < 0)) {
        if (l->fd4 >= 0)
            close(l->fd4);
        return l->fd6;
    }
    if (l->fd6 < 0)
        l->fd6 = -1;
    else
        l->port = port_of(l->fd6);
    return 0;
}

int listen_bind(struct listening *l, int low, int high, struct dt_error *err)
{
    int rc = -EADDRINUSE;
    if (low == 0) {
        for (int attempt = 0; attempt < 16 && rc == -EADDRINUSE; attempt++)
            rc = bind_both(l, 0);
        if (rc < 0)
            return dt_error_set(err, "no port can be listened on: %s", strerror(-rc));
        return 0;
    }
    int count = high - low + 1;
    int first = (int)(getpid() % count); /* so that jobs do not all try the same one first */
    for (int i = 0; i < count && rc == -EADDRINUSE; i++)
        rc = bind_both(l, (uint16_t)(low + (first + i) % count));
    if (rc == -EADDRINUSE)
        return dt_error_set(err, "all %d ports of the range %d-%d are in use; widen the range",
                            count, low, high);
    if (rc < 0)
        return dt_error_set(err, "no port of the range %d-%d can be listened on: %s", low, high,
                            strerror(-rc));
    return 0;
}

struct candidate {
    int rank; /* the lower the better */
    char text[INET6_ADDRSTRLEN];
};

static void default_interface(char name[IF_NAMESIZE])
{
    *name = '\0';
    FILE *file = fopen("/proc/net/route", "re");
    if (!file)
        return;
    char line[256], interface[IF_NAMESIZE];
    unsigned destination;
    while (fgets(line, sizeof line, file)) {
        if (sscanf(line, "%15s %x", interface, &destination) == 2 && destination == 0) {
            memcpy(name, interface, IF_NAMESIZE);
            break;
        }
    }
    fclose(file);
}

static bool is_container_bridge(const char *name)
{
    static const char *const heads[] = {"docker",  "virbr", "br-", "veth",   "cni",
                                        "flannel", "cali",  "lxc", "podman", "kube"};
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        if (strncmp(name, heads[i], strlen(heads[i])) == 0)
            return true;
    }
    return false;
}

/* False: no address that another machine could use. */
static bool address_text(const struct sockaddr *address, char text[INET6_ADDRSTRLEN])
{
    if (address->sa_family == AF_INET) {
        const struct in_addr *in4 = &((const struct sockaddr_in *)address)->sin_addr;
        bool link_local = (ntohl(in4->s_addr) >> 16) == 0xa9fe;
        return !link_local && inet_ntop(AF_INET, in4, text, INET6_ADDRSTRLEN);
    }
    if (address->sa_family == AF_INET6) {
        const struct in6_addr *in6 = &((const struct sockaddr_in6 *)address)->sin6_addr;
        return !IN6_IS_ADDR_LINKLOCAL(in6) && inet_ntop(AF_INET6, in6, text, INET6_ADDRSTRLEN);
    }
    return false;
}

static int rank_of(const struct ifaddrs *i, const char *default_name)
{
    int family = i->ifa_addr->sa_family == AF_INET6;
    if (i->ifa_flags & IFF_LOOPBACK)
        return 6 + family;
    if (is_container_bridge(i->ifa_name))
        return 4 + family;
    return (strcmp(i->ifa_name, default_name) == 0 ? 0 : 2) + family;
}

static int compare(const void *a, const void *b)
{
    return ((const struct candidate *)a)->rank - ((const struct candidate *)b)->rank;
}

static size_t collect(struct candidate *list, size_t max, const struct ifaddrs *interfaces)
{
    char default_name[IF_NAMESIZE];
    default_interface(default_name);
    size_t count = 0;
    for (const struct ifaddrs *i = interfaces; i && count < max; i = i->ifa_next) {
        if (!i->ifa_addr || !(i->ifa_flags & IFF_UP) ||
            !address_text(i->ifa_addr, list[count].text))
            continue;
        list[count].rank = rank_of(i, default_name);
        count++;
    }
    qsort(list, count, sizeof *list, compare);
    /* Loopback sorts last: it counts only when it is all there is. */
    while (count > 0 && list[0].rank < 6 && list[count - 1].rank >= 6)
        count--;
    return count < LISTEN_ADDRESSES_MAX ? count : LISTEN_ADDRESSES_MAX;
}

int listen_addresses(char ***addresses, struct dt_error *err)
{
    enum { CANDIDATES = 256 };
    struct ifaddrs *interfaces = NULL;
    char **result = calloc(LISTEN_ADDRESSES_MAX + 1, sizeof *result);
    struct candidate *list = calloc(CANDIDATES, sizeof *list);
    int rc = -1;
    if (!result || !list) {
        dt_error_set(err, "out of memory");
        goto out;
    }
    if (getifaddrs(&interfaces) < 0) {
        dt_error_set(err, "network interfaces can not be listed: %s", strerror(errno));
        goto out;
    }
    size_t count = collect(list, CANDIDATES, interfaces);
    if (count == 0)
        snprintf(list[count++].text, sizeof list->text, "127.0.0.1");
    for (size_t i = 0; i < count; i++) {
        result[i] = strdup(list[i].text);
        if (!result[i]) {
            dt_error_set(err, "out of memory");
            goto out;
        }
    }
    *addresses = result;
    result = NULL;
    rc = 0;
out:
    for (char **a = result; a && *a; a++)
        free(*a);
    free(result);
    free(list);
    if (interfaces)
        freeifaddrs(interfaces);
    return rc;
}
