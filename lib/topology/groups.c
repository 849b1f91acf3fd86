/* SPDX-License-Identifier: Apache-2.0 */
/* Which devices share a PCIe switch. Bare metal says so in sysfs: a device's path there names every
 * bridge above it. A virtual machine may hide all bridges; then the instance table is asked, and
 * without a table the host bridges are the best that is known. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "topology/internal.h"

struct place {
    struct dt_device *device;
    bool nic;
    char *path; /* "pci0000:00/0000:00:01.0/0000:01:00.0": the device itself is last; or NULL */
    size_t key; /* length of the path's prefix that names the group; 0: none */
};

struct places {
    struct place *items;
    size_t count;
};

static char *sysfs_path(const struct dt_root *root, const char *bdf)
{
    char link[1024];
    const char *start;

    if (!*bdf || dt_root_readlink(root, link, sizeof(link), "sys/bus/pci/devices/%s", bdf) <= 0)
        return NULL;
    start = strstr(link, "devices/");
    return start ? strdup(start + strlen("devices/")) : NULL;
}

static int places_init(struct places *places, struct dt_topology *topology,
                       const struct dt_root *root)
{
    size_t total = topology->accelerator_count + topology->nic_count;

    places->count = 0;
    places->items = calloc(total ? total : 1, sizeof(*places->items));
    if (!places->items)
        return -1;
    for (size_t i = 0; i < total; i++) {
        bool nic = i >= topology->accelerator_count;
        struct place *place = &places->items[places->count++];
        place->nic = nic;
        place->device =
            nic ? &topology->nics[i - topology->accelerator_count] : &topology->accelerators[i];
        place->path = sysfs_path(root, place->device->bdf);
    }
    return 0;
}

static void places_fini(struct places *places)
{
    for (size_t i = 0; i < places->count; i++)
        free(places->items[i].path);
    free(places->items);
}

static size_t host_bridge_len(const char *path)
{
    return strcspn(path, "/");
}

/* Length of the parent's path; 0 at the top. */
static size_t parent_len(const char *path, size_t len)
{
    while (len > 0 && path[len - 1] != '/')
        len--;
    return len > 0 ? len - 1 : 0;
}

static bool has_bridge(const struct place *place)
{
    return place->path &&
           parent_len(place->path, strlen(place->path)) > host_bridge_len(place->path);
}

static bool below(const struct place *place, const char *prefix, size_t len)
{
    return place->path && !strncmp(place->path, prefix, len) && place->path[len] == '/';
}

/* Deepest bridge above the device that another device is below too: one of the other kind where
 * there is one (a GPU and its NIC), else any. 0: shares no bridge. */
static size_t shared_bridge(const struct places *places, const struct place *place)
{
    size_t any = 0;

    for (size_t len = parent_len(place->path, strlen(place->path));
         len > host_bridge_len(place->path); len = parent_len(place->path, len)) {
        for (size_t i = 0; i < places->count; i++) {
            const struct place *other = &places->items[i];
            if (other == place || !below(other, place->path, len))
                continue;
            if (other->nic != place->nic)
                return len;
            if (!any)
                any = len;
        }
    }
    return any;
}

static void number_groups(struct places *places)
{
    int next = 0;

    for (size_t i = 0; i < places->count; i++) {
        struct place *place = &places->items[i];
        if (!place->key || place->device->group >= 0)
            continue;
        place->device->group = next;
        for (size_t k = i + 1; k < places->count; k++)
            if (places->items[k].key == place->key &&
                !strncmp(places->items[k].path, place->path, place->key))
                places->items[k].device->group = next;
        next++;
    }
}

static void group_by_bridge(struct places *places)
{
    for (size_t i = 0; i < places->count; i++)
        if (has_bridge(&places->items[i]))
            places->items[i].key = shared_bridge(places, &places->items[i]);
    number_groups(places);
}

/* One host bridge for everything says nothing; several say as much as switches do. */
static void group_by_host_bridge(struct places *places)
{
    const char *first = NULL;
    bool several = false;

    for (size_t i = 0; i < places->count; i++) {
        const char *path = places->items[i].path;
        if (!path)
            continue;
        places->items[i].key = host_bridge_len(path);
        if (!first)
            first = path;
        else if (host_bridge_len(first) != host_bridge_len(path) ||
                 strncmp(first, path, host_bridge_len(path)) != 0)
            several = true;
    }
    if (several)
        number_groups(places);
}

static int node_in_model(const struct dt_topology *topology, int os_index)
{
    hwloc_obj_t node =
        os_index < 0 ? NULL
                     : hwloc_get_numanode_obj_by_os_index(topology->hwloc, (unsigned)os_index);
    return node ? (int)node->logical_index : -1;
}

/* Take one switch's row of addresses over. With by_order the k-th address of the table stands for
 * the k-th device, for a machine that numbers its buses differently. Returns devices matched. */
static size_t match_row(const struct dt_topology *topology, struct dt_device *devices, size_t count,
                        char *const *row, bool by_order, size_t *position, int group, int node)
{
    size_t matched = 0;

    for (; row && *row; row++, (*position)++) {
        for (size_t i = by_order ? *position : 0; i < count; i++) {
            if (!by_order && strcmp(devices[i].bdf, *row) != 0)
                continue;
            devices[i].group = group;
            if (devices[i].numa < 0)
                devices[i].numa = node_in_model(topology, node);
            matched++;
            break;
        }
    }
    return matched;
}

/* A row that holds all of a NUMA node's devices tells of the node and not of a switch. */
static bool is_whole_node(const struct dt_instance *instance, size_t row)
{
    const char *bridge = instance->switches[row].bridge;

    for (size_t s = 0; s < instance->switch_count; s++)
        if (s != row && instance->switches[s].numa == instance->switches[row].numa)
            return false;
    return !bridge || !*bridge;
}

static size_t group_by_table(struct dt_topology *topology, const struct dt_instance *instance,
                             bool by_order)
{
    size_t matched = 0, gpu = 0, nic = 0;

    for (size_t s = 0; s < instance->switch_count; s++) {
        const struct dt_instance_switch *row = &instance->switches[s];
        int number = is_whole_node(instance, s) ? -1 : (int)s;
        matched += match_row(topology, topology->accelerators, topology->accelerator_count,
                             row->gpus, by_order, &gpu, number, row->numa);
        matched += match_row(topology, topology->nics, topology->nic_count, row->nics, by_order,
                             &nic, number, row->numa);
    }
    return matched;
}

static bool counts_match(const struct dt_topology *topology, const struct dt_instance *instance)
{
    size_t gpus = 0, nics = 0;

    for (size_t s = 0; s < instance->switch_count; s++) {
        for (char **bdf = instance->switches[s].gpus; bdf && *bdf; bdf++)
            gpus++;
        for (char **bdf = instance->switches[s].nics; bdf && *bdf; bdf++)
            nics++;
    }
    return gpus == topology->accelerator_count && nics == topology->nic_count;
}

/* A device that shares with nobody has no group: nothing follows from it. */
static void drop_lonely(const struct places *places)
{
    for (size_t i = 0; i < places->count; i++) {
        bool alone = true;
        for (size_t k = 0; k < places->count && alone; k++)
            alone = k == i || places->items[k].device->group != places->items[i].device->group;
        if (alone)
            places->items[i].device->group = -1;
    }
}

static void group(struct dt_topology *topology, struct places *places,
                  const struct dt_instance *instance, struct dt_buf *source)
{
    const char *modelled = instance && !instance->topology_measured ? ", modelled" : "";
    bool flat = true;

    dt_buf_puts(source, places->count ? "sysfs" : "no devices");
    for (size_t i = 0; i < places->count; i++)
        flat = flat && !has_bridge(&places->items[i]);
    if (!flat) {
        group_by_bridge(places);
    } else if (instance && group_by_table(topology, instance, false) > 0) {
        dt_buf_printf(source, " + instance table %s%s", instance->name, modelled);
    } else if (instance && places->count && instance->switch_count &&
               counts_match(topology, instance) && group_by_table(topology, instance, true) > 0) {
        dt_buf_printf(source, " + instance table %s%s (by order, addresses differ)", instance->name,
                      modelled);
    } else {
        group_by_host_bridge(places);
    }
    drop_lonely(places);
}

int dt_topology_group_devices(struct dt_topology *topology, const struct dt_root *root,
                              const struct dt_instance *instance, struct dt_error *err)
{
    struct places places;
    struct dt_buf source = DT_BUF_INIT;

    if (places_init(&places, topology, root))
        return dt_error_set(err, "no memory left to group the devices");
    group(topology, &places, instance, &source);
    places_fini(&places);
    topology->source = dt_buf_take(&source);
    return topology->source ? 0 : dt_error_set(err, "no memory left to group the devices");
}
