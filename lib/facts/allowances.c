/* SPDX-License-Identifier: Apache-2.0 */
/* What EC2 has held back of a network device's traffic, as it was more than the instance may send or
 * receive: the allowance counters of the ENA driver, by the ethtool ioctl. */
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "facts/counters.h"
#include "facts/printable.h"

enum { STATISTICS_MAX = 4096 };

/* The driver has hundreds of other statistics, queue by queue. */
static void add(json_t *item, const char *counter, long long value)
{
    static const char end[] = "_allowance_exceeded";
    size_t len = strlen(counter);
    if (len > sizeof end - 1 && strcmp(counter + len - (sizeof end - 1), end) == 0)
        json_object_set_new(item, counter, json_integer(value));
}

static int ethtool(int fd, const char *interface, void *command)
{
    struct ifreq request = {.ifr_data = command};
    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", interface);
    return ioctl(fd, SIOCETHTOOL, &request);
}

static void ask_driver(json_t *item, int fd, const char *interface)
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
                add(item, name, (long long)values->data[i]);
            }
        }
    }
    free(names);
    free(values);
}

/* A tree answers in dt-ethtool/INTERFACE: lines "NAME: VALUE", as ethtool -S prints them. */
static void ask_tree(json_t *item, const struct dt_root *root, const char *interface)
{
    char text[8192], *rest = text, *line, name[64];
    long long value;
    if (dt_root_read(root, text, sizeof text, "dt-ethtool/%s", interface) <= 0)
        return;
    while ((line = strsep(&rest, "\n"))) {
        if (sscanf(line, " %63[^:]: %lld", name, &value) == 2)
            add(item, name, value);
    }
}

void dt_read_allowances(struct dt_reader *reader, json_t *list, const char *interface)
{
    json_t *item =
        json_pack("{s:s,s:o}", "kind", "ena", "device", dt_printable_json(interface, IF_NAMESIZE));
    size_t bare = json_object_size(item);
    int fd = reader->root->fake ? -1 : socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (reader->root->fake)
        ask_tree(item, reader->root, interface);
    else if (fd >= 0)
        ask_driver(item, fd, interface);
    if (fd >= 0)
        close(fd);
    if (json_object_size(item) == bare)
        json_decref(item);
    else if (json_array_append_new(list, item) < 0)
        reader->failed = true;
}
