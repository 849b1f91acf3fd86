/* SPDX-License-Identifier: Apache-2.0 */
/* Ethernet devices: is there a link, how large are packets, how often did the link change. */
#include <net/if.h>
#include <string.h>

#include "facts/printable.h"
#include "facts/system.h"

#define NET      "sys/class/net"
#define ETHERNET 1 /* ARPHRD_ETHER */

enum { LINKS_MAX = 64 };

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
    json_t *links = json_array();
    for (int i = 0; i < count && json_array_size(links) < LINKS_MAX; i++) {
        if (is_ethernet(reader->root, names[i]))
            json_array_append_new(links, read_link(reader->root, names[i]));
    }
    dt_names_free(names);
    dt_reader_take(reader, "net.links", links);
}
