/* SPDX-License-Identifier: Apache-2.0 */
/* Which devices share a PCIe switch. Bare metal says so: a device's path names every bridge above it. A virtual machine may hide all bridges; then the instance table is asked, and
 * without a table the host bridges are the best that is known. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "topology/internal.h"

struct place {
    struct dt_device *device;
    bool nic;
    size_t key; /* length of the path's prefix that names the group; 0: none */
};

struct places {
    struct place *items;
    size_t count;
};

static int places_init(struct places *places, struct dt_topology *topology)
{
    size_t total = topology->accelerator_count + topology->nic_count;

    places->count = total;
    places->items = calloc(total ? total : 1, sizeof(*places->items));
    if (!places->items)
        return -1;
    for (size_t i = 0; i < total; i++) {
        bool nic = i >= topology->accelerator_count;
        places->items[i] = (struct place){
            .nic = nic,
            .device =
                nic ? &topology->nics[i - topology->accelerator_count] : &topology->accelerators[i],
        };
    }
    return 0;
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
    const char *path = place->device->path;
    return parent_len(path, strlen(path)) > host_bridge_len(path);
}

static bool below(const struct place *place, const char *prefix, size_t len)
{
    const char *path = place->device->path;
    return !strncmp(path, prefix, len) && path[len] == '/';
}

/* Deepest bridge above the device that another device is below too: one of the other kind where
 * there is one (a GPU and its NIC), else any. 0: shares no bridge. */
static size_t shared_bridge(const struct places *places, const struct place *place)
{
    const char *path = place->device->path;
    size_t any = 0;

    for (size_t len = parent_len(path, strlen(path)); len > host_bridge_len(path);
         len = parent_len(path, len)) {
        for (size_t i = 0; i < places->count; i++) {
            const struct place *other = &places->items[i];
            if (other == place || !below(other, path, len))
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
                !strncmp(places->items[k].device->path, place->device->path, place->key))
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
static bool several_host_bridges(const struct places *places)
{
    const char *first = NULL;

    for (size_t i = 0; i < places->count; i++) {
        const char *path = places->items[i].device->path;
        if (!*path)
            continue;
        if (!first)
            first = path;
        if (host_bridge_len(first) != host_bridge_len(path) ||
            strncmp(first, path, host_bridge_len(path)) != 0)
            return true;
    }
    return false;
}

static void group_by_host_bridge(struct places *places)
{
    for (size_t i = 0; i < places->count; i++)
        places->items[i].key = host_bridge_len(places->items[i].device->path);
    if (several_host_bridges(places))
        number_groups(places);
}

static void number_roots(struct places *places)
{
    int next = 0;

    if (!several_host_bridges(places))
        return;
    for (size_t i = 0; i < places->count; i++) {
        struct dt_device *device = places->items[i].device;
        size_t len = host_bridge_len(device->path);
        if (!len || device->root >= 0)
            continue;
        for (size_t k = i + 1; k < places->count; k++) {
            struct dt_device *other = places->items[k].device;
            if (host_bridge_len(other->path) == len && !strncmp(other->path, device->path, len))
                device->root = other->root = next;
        }
        next += device->root >= 0;
    }
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
                devices[i].numa = dt_topology_logical_node(topology->hwloc, node);
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

    for (size_t i = 0; i < places->count; i++)
        flat = flat && !has_bridge(&places->items[i]);
    number_roots(places);
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

int dt_topology_group_devices(struct dt_topology *topology, const struct dt_instance *instance,
                              const char *from, struct dt_error *err)
{
    struct places places;
    struct dt_buf source = DT_BUF_INIT;

    if (places_init(&places, topology))
        return dt_error_set(err, "no memory left to group the devices");
    dt_buf_puts(&source, from);
    group(topology, &places, instance, &source);
    free(places.items);
    topology->source = dt_buf_take(&source);
    return topology->source ? 0 : dt_error_set(err, "no memory left to group the devices");
}
