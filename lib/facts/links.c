/* SPDX-License-Identifier: Apache-2.0 */
/* Ethernet devices: is there a link, how large are packets, how often did the link change, and what
 * has EC2 held back (the allowance counters of the ENA driver, by the ethtool ioctl). */
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "facts/printable.h"
#include "facts/system.h"

#define NET      "sys/class/net"
#define ETHERNET 1 /* ARPHRD_ETHER */

enum { STATISTICS_MAX = 4096, LINKS_MAX = 64 };

static void add_allowance(json_t *list, const char *interface, const char *counter, long long value)
{
    if (strstr(counter, "allowance_exceeded"))
        json_array_append_new(
            list, json_pack("{s:o,s:o,s:I}", "interface", dt_printable_json(interface, IF_NAMESIZE),
                            "counter", dt_printable_json(counter, 64), "count", (json_int_t)value));
}

static int ethtool(int fd, const char *interface, void *command)
{
    struct ifreq request = {.ifr_data = command};
    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", interface);
    return ioctl(fd, SIOCETHTOOL, &request);
}

static void ask_driver(json_t *list, int fd, const char *interface)
{
    struct ethtool_drvinfo driver = {.cmd = ETHTOOL_GDRVINFO};
    if (ethtool(fd, interface, &driver) < 0 || driver.n_stats == 0 ||
        driver.n_stats > STATISTICS_MAX)
        return;
    size_t count = driver.n_stats;
    struct ethtool_gstrings *names = calloc(1, sizeof *names + count * ETH_GSTRING_LEN);
    struct ethtool_stats *values = calloc(1, sizeof *values + count * sizeof values->data[0]);
    if (names && values) {
        *names = (struct ethtool_gstrings){
            .cmd = ETHTOOL_GSTRINGS, .string_set = ETH_SS_STATS, .len = (unsigned)count};
        *values = (struct ethtool_stats){.cmd = ETHTOOL_GSTATS, .n_stats = (unsigned)count};
        if (ethtool(fd, interface, names) == 0 && ethtool(fd, interface, values) == 0) {
            for (size_t i = 0; i < count && i < names->len && i < values->n_stats; i++) {
                char name[ETH_GSTRING_LEN + 1] = "";
                memcpy(name, names->data + i * ETH_GSTRING_LEN, ETH_GSTRING_LEN);
                add_allowance(list, interface, name, (long long)values->data[i]);
            }
        }
    }
    free(names);
    free(values);
}

/* A tree answers in dt-ethtool/INTERFACE: lines "NAME: VALUE", as ethtool -S prints them. */
static void ask_tree(json_t *list, const struct dt_root *root, const char *interface)
{
    char text[8192], *rest = text, *line, name[64];
    long long value;
    if (dt_root_read(root, text, sizeof text, "dt-ethtool/%s", interface) <= 0)
        return;
    while ((line = strsep(&rest, "\n"))) {
        if (sscanf(line, " %63[^:]: %lld", name, &value) == 2)
            add_allowance(list, interface, name, value);
    }
}

/* Physical ones alone: bridges and the cables of containers come and go. */
static bool is_ethernet(const struct dt_root *root, const char *name)
{
    long long type;
    return dt_root_read_long(root, &type, NET "/%s/type", name) == 0 && type == ETHERNET &&
           dt_root_exists(root, NET "/%s/device", name);
}

static json_t *read_link(const struct dt_root *root, const char *name)
{
    long long flags = IFF_UP, carrier = 0, value;
    json_t *link = json_pack("{s:o}", "name", dt_printable_json(name, IF_NAMESIZE));
    dt_root_read_long(root, &flags, NET "/%s/flags", name);
    /* The file can not be read of an interface that is switched off. */
    bool told = dt_root_read_long(root, &carrier, NET "/%s/carrier", name) == 0;
    json_object_set_new(link, "on", json_integer((flags & IFF_UP) != 0));
    if (told || !(flags & IFF_UP))
        json_object_set_new(link, "carrier", json_integer(carrier));
    if (dt_root_read_long(root, &value, NET "/%s/mtu", name) == 0)
        json_object_set_new(link, "mtu", json_integer(value));
    if (dt_root_read_long(root, &value, NET "/%s/carrier_changes", name) == 0)
        json_object_set_new(link, "carrier_changes", json_integer(value));
    return link;
}

void dt_read_links(struct dt_reader *reader)
{
    char **names;
    int count = dt_root_list(reader->root, &names, NET);
    if (count < 0) {
        dt_reader_why(reader, "net.links", "/" NET ": %s", strerror(-count));
        return;
    }
    json_t *links = json_array(), *allowances = json_array();
    int fd = reader->root->fake ? -1 : socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    for (int i = 0; i < count && json_array_size(links) < LINKS_MAX; i++) {
        if (!is_ethernet(reader->root, names[i]))
            continue;
        json_array_append_new(links, read_link(reader->root, names[i]));
        if (reader->root->fake)
            ask_tree(allowances, reader->root, names[i]);
        else if (fd >= 0)
            ask_driver(allowances, fd, names[i]);
    }
    if (fd >= 0)
        close(fd);
    dt_names_free(names);
    dt_reader_take(reader, "net.links", links);
    dt_reader_take(reader, "net.allowances", allowances);
}
