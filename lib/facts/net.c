/* SPDX-License-Identifier: Apache-2.0 */
/* The interface of the default route, and its address. */
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <limits.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "facts/reader.h"

/* Interface of the IPv4 default route with the lowest metric. */
static bool route_v4(const struct dt_root *root, char name[IF_NAMESIZE])
{
    char text[16384];
    char *rest = text;
    char *line;
    unsigned best = UINT_MAX;
    bool found = false;
    if (dt_root_read(root, text, sizeof text, "proc/net/route") <= 0)
        return false;
    while ((line = strsep(&rest, "\n"))) {
        char interface[16];
        unsigned destination, flags, metric, mask;
        if (sscanf(line, "%15s %x %*x %x %*d %*d %u %x", interface, &destination, &flags, &metric,
                   &mask) != 5)
            continue;
        if (destination || mask || !(flags & 1) || (found && metric >= best)) /* 1: RTF_UP */
            continue;
        best = metric;
        found = true;
        snprintf(name, IF_NAMESIZE, "%s", interface);
    }
    return found;
}

static bool route_v6(const struct dt_root *root, char name[IF_NAMESIZE])
{
    char text[16384];
    char *rest = text;
    char *line;
    if (dt_root_read(root, text, sizeof text, "proc/net/ipv6_route") <= 0)
        return false;
    while ((line = strsep(&rest, "\n"))) {
        char destination[33], interface[16];
        unsigned length;
        if (sscanf(line, "%32s %x %*s %*s %*s %*s %*s %*s %*s %15s", destination, &length,
                   interface) != 3)
            continue;
        if (length || strspn(destination, "0") != 32 || strcmp(interface, "lo") == 0)
            continue;
        snprintf(name, IF_NAMESIZE, "%s", interface);
        return true;
    }
    return false;
}

static bool address_of(const char *name, int family, char text[INET6_ADDRSTRLEN])
{
    struct ifaddrs *all;
    bool found = false;
    if (getifaddrs(&all) < 0)
        return false;
    for (const struct ifaddrs *one = all; one && !found; one = one->ifa_next) {
        if (!one->ifa_addr || one->ifa_addr->sa_family != family ||
            strcmp(one->ifa_name, name) != 0)
            continue;
        const struct sockaddr_in *v4 = (const void *)one->ifa_addr;
        const struct sockaddr_in6 *v6 = (const void *)one->ifa_addr;
        if (family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(&v6->sin6_addr))
            continue;
        const void *bytes = family == AF_INET ? (const void *)&v4->sin_addr : &v6->sin6_addr;
        found = inet_ntop(family, bytes, text, INET6_ADDRSTRLEN) != NULL;
    }
    freeifaddrs(all);
    return found;
}

void dt_read_net(struct dt_reader *reader)
{
    char name[IF_NAMESIZE] = "";
    char address[INET6_ADDRSTRLEN];
    int family = AF_INET;
    dt_read_interfaces(reader);
    bool known = dt_root_exists(reader->root, "proc/net/route");
    if (!known)
        dt_reader_why(reader, "net.default_route", "/proc/net/route is not there");
    if (!route_v4(reader->root, name)) {
        family = AF_INET6;
        if (!route_v6(reader->root, name)) {
            if (known)
                dt_reader_int(reader, "net.default_route", 0);
            dt_reader_why(reader, "net.interface", "no default route in /proc/net/route");
            dt_reader_why(reader, "net.address", "no default route in /proc/net/route");
            dt_reader_why(reader, "net.mtu", "no default route in /proc/net/route");
            return;
        }
    }
    dt_reader_int(reader, "net.default_route", 1);
    dt_reader_string(reader, "net.interface", name);
    long long mtu;
    if (dt_root_read_long(reader->root, &mtu, "sys/class/net/%s/mtu", name) == 0)
        dt_reader_int(reader, "net.mtu", mtu);
    else
        dt_reader_why(reader, "net.mtu", "/sys/class/net/%s/mtu can not be read", name);
    if (reader->root->fake)
        dt_reader_why(reader, "net.address", "a tree has no addresses");
    else if (address_of(name, family, address))
        dt_reader_string(reader, "net.address", address);
    else
        dt_reader_why(reader, "net.address", "interface %s has none", name);
}
