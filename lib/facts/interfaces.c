/* SPDX-License-Identifier: Apache-2.0 */
/* The interfaces that a program could talk through, as NCCL (src/os/linux.cc) and gloo look for
 * them: running, with an IPv4 or IPv6 address, the loopback of IPv6 not counted. */
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>

#include "facts/printable.h"
#include "facts/reader.h"

enum { INTERFACES_MAX = 64 }; /* a host full of containers has hundreds, all of one kind */

static bool is_listed(json_t *list, const char *name)
{
    json_t *item;
    size_t i;
    json_array_foreach(list, i, item)
    {
        const char *other = json_string_value(json_object_get(item, "name"));
        if (other && strcmp(other, name) == 0)
            return true;
    }
    return false;
}

static void add(struct dt_reader *reader, json_t *list, const char *name, const char *address)
{
    json_t *item = json_pack("{s:o}", "name", dt_printable_json(name, IF_NAMESIZE));
    if (item && address)
        json_object_set_new(item, "address", dt_printable_json(address, INET6_ADDRSTRLEN));
    if (json_array_append_new(list, item) < 0)
        reader->failed = true;
}

static bool address_text(const struct ifaddrs *one, char text[INET6_ADDRSTRLEN])
{
    int family = one->ifa_addr ? one->ifa_addr->sa_family : AF_UNSPEC;
    const struct sockaddr_in *v4 = (const void *)one->ifa_addr;
    const struct sockaddr_in6 *v6 = (const void *)one->ifa_addr;
    if (!(one->ifa_flags & IFF_RUNNING) || (family != AF_INET && family != AF_INET6))
        return false;
    if (family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr))
        return false;
    const void *bytes = family == AF_INET ? (const void *)&v4->sin_addr : &v6->sin6_addr;
    return inet_ntop(family, bytes, text, INET6_ADDRSTRLEN) != NULL;
}

static void from_kernel(struct dt_reader *reader, json_t *list)
{
    struct ifaddrs *all;
    char address[INET6_ADDRSTRLEN];
    if (getifaddrs(&all) < 0)
        return;
    for (const struct ifaddrs *one = all; one; one = one->ifa_next) {
        if (json_array_size(list) >= INTERFACES_MAX)
            break;
        if (address_text(one, address) && !is_listed(list, one->ifa_name))
            add(reader, list, one->ifa_name, address);
    }
    freeifaddrs(all);
}

/* A tree has no addresses: what is not down counts. */
static void from_tree(struct dt_reader *reader, json_t *list)
{
    char **names, state[32];
    int count = dt_root_list(reader->root, &names, "sys/class/net");
    for (int i = 0; i < count && i < INTERFACES_MAX; i++) {
        if (dt_root_read(reader->root, state, sizeof state, "sys/class/net/%s/operstate",
                         names[i]) > 0 &&
            strcmp(state, "down") == 0)
            continue;
        add(reader, list, names[i], NULL);
    }
    if (count >= 0)
        dt_names_free(names);
}

void dt_read_interfaces(struct dt_reader *reader)
{
    json_t *list = json_array();
    if (list && reader->root->fake)
        from_tree(reader, list);
    else if (list)
        from_kernel(reader, list);
    if (list && json_array_size(list) == 0) {
        json_decref(list);
        dt_reader_why(reader, "net.interfaces",
                      reader->root->fake ? "the tree has no sys/class/net"
                                         : "no interface is up and has an address");
        return;
    }
    dt_reader_take(reader, "net.interfaces", list);
}
