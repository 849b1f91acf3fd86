/* SPDX-License-Identifier: Apache-2.0 */
/* The device side of the live machine: accelerators and EFA NICs as the facts name them, what the
 * facts do not name as sysfs has it, in a stable order, each with its place. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "topology/internal.h"

static int no_memory(struct dt_error *err)
{
    return dt_error_set(err, "no memory left for the list of devices");
}

int dt_topology_logical_node(hwloc_topology_t hwloc, long long os_index)
{
    hwloc_obj_t node;

    if (os_index < 0)
        return -1;
    node = hwloc_get_numanode_obj_by_os_index(hwloc, (unsigned)os_index);
    return node ? (int)node->logical_index : -1;
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

int dt_topology_fill_device(struct dt_device *device, const struct dt_root *root, const char *id,
                            const char *bdf, const char *model)
{
    char link[1024] = "";
    const char *start = NULL;

    if (*bdf && dt_root_readlink(root, link, sizeof(link), "sys/bus/pci/devices/%s", bdf) > 0)
        start = strstr(link, "devices/");
    device->numa = device->group = device->root = -1;
    device->id = strdup(id);
    device->bdf = strdup(bdf);
    device->model = strdup(model);
    device->path = strdup(start ? start + strlen("devices/") : "");
    return device->id && device->bdf && device->model && device->path ? 0 : -1;
}

static int by_bdf(const void *a, const void *b)
{
    const struct dt_device *x = a, *y = b;
    int order = strcmp(x->bdf, y->bdf); /* fixed width hexadecimal: text order is PCI order */
    return order ? order : strcmp(x->id, y->id);
}

static struct dt_device *devices_alloc(size_t count)
{
    return calloc(count ? count : 1, sizeof(struct dt_device));
}

static int node_of(const struct dt_topology *topology, const json_t *object)
{
    const json_t *numa = json_object_get(object, "numa");
    return json_is_integer(numa)
               ? dt_topology_logical_node(topology->hwloc, json_integer_value(numa))
               : -1;
}

static int add_gpus(struct dt_topology *topology, const struct dt_root *root, const json_t *array)
{
    size_t count = json_array_size(array);

    if (!(topology->accelerators = devices_alloc(count)))
        return -1;
    for (size_t i = 0; i < count; i++) {
        const json_t *object = json_array_get(array, i);
        const char *uuid = text_of(object, "uuid"), *bdf = text_of(object, "bdf");
        struct dt_device *device = &topology->accelerators[topology->accelerator_count++];
        struct dt_buf id = DT_BUF_INIT;

        if (*uuid)
            dt_buf_puts(&id, uuid);
        else
            dt_buf_printf(&id, "pci:%s", bdf);
        int rc = id.failed ? -1
                           : dt_topology_fill_device(device, root, id.data, bdf,
                                                     text_of(object, "model"));
        dt_buf_fini(&id);
        if (rc)
            return -1;
        device->numa = node_of(topology, object);
    }
    topology->kind = count ? DT_ACCELERATOR_NVIDIA : DT_ACCELERATOR_NONE;
    return 0;
}

/* The k-th accelerator address of the instance table, or "". */
static const char *table_bdf(const struct dt_instance *instance, size_t k)
{
    for (size_t s = 0; instance && s < instance->switch_count; s++)
        for (char **bdf = instance->switches[s].gpus; bdf && *bdf; bdf++)
            if (k-- == 0)
                return *bdf;
    return "";
}

/* Neuron devices are known by number; where each one sits is asked of sysfs, then of the table. */
static int add_neuron(struct dt_topology *topology, const struct dt_root *root, size_t count,
                      const struct dt_instance *instance)
{
    const char *model =
        instance && instance->accelerator == DT_ACCELERATOR_NEURON && instance->accelerator_model
            ? instance->accelerator_model
            : "";

    if (!(topology->accelerators = devices_alloc(count)))
        return -1;
    for (size_t i = 0; i < count; i++) {
        struct dt_device *device = &topology->accelerators[topology->accelerator_count++];
        char id[32], link[512];
        const char *bdf = NULL;
        long long numa;

        snprintf(id, sizeof(id), "neuron%zu", i);
        if (dt_root_readlink(root, link, sizeof(link), "sys/class/neuron_device/%s/device", id) > 0)
            bdf = strrchr(link, '/') ? strrchr(link, '/') + 1 : link;
        if (!bdf || !dt_root_exists(root, "sys/bus/pci/devices/%s", bdf))
            bdf = table_bdf(instance, i);
        if (dt_topology_fill_device(device, root, id, bdf, model))
            return -1;
        if (*bdf && dt_root_read_long(root, &numa, "sys/bus/pci/devices/%s/numa_node", bdf) == 0)
            device->numa = dt_topology_logical_node(topology->hwloc, numa);
    }
    topology->kind = DT_ACCELERATOR_NEURON;
    return 0;
}

static int add_nics(struct dt_topology *topology, const struct dt_root *root, const json_t *array)
{
    size_t count = json_array_size(array);

    if (!(topology->nics = devices_alloc(count)))
        return -1;
    for (size_t i = 0; i < count; i++) {
        const json_t *object = json_array_get(array, i);
        struct dt_device *device = &topology->nics[topology->nic_count++];

        if (dt_topology_fill_device(device, root, text_of(object, "name"), text_of(object, "bdf"),
                                    ""))
            return -1;
        device->numa = node_of(topology, object);
    }
    return 0;
}

void dt_topology_sort_devices(struct dt_topology *topology)
{
    if (topology->kind != DT_ACCELERATOR_NEURON && topology->accelerator_count > 1)
        qsort(topology->accelerators, topology->accelerator_count, sizeof(struct dt_device),
              by_bdf);
    if (topology->nic_count > 1)
        qsort(topology->nics, topology->nic_count, sizeof(struct dt_device), by_bdf);
}

int dt_topology_add_devices(struct dt_topology *topology, const struct dt_root *root,
                            const struct dt_facts *facts, const struct dt_instance *instance,
                            struct dt_error *err)
{
    const json_t *gpus = dt_facts_array(facts, "gpu.devices");
    const json_t *efas = dt_facts_array(facts, "efa.devices");
    long long neurons = 0, on_bus = 0;
    int rc;

    if (json_array_size(gpus) == 0 && dt_facts_int(facts, "neuron.count", &neurons) &&
        neurons > 0 && neurons <= 1024)
        rc = add_neuron(topology, root, (size_t)neurons, instance);
    else if (json_array_size(gpus) == 0 && dt_facts_int(facts, "gpu.pci_count", &on_bus) &&
             on_bus > 0)
        rc = dt_topology_add_bus_gpus(topology, root);
    else
        rc = add_gpus(topology, root, gpus);
    if (rc == 0)
        rc = json_array_size(efas) > 0 ? add_nics(topology, root, efas)
                                       : dt_topology_add_other_nics(topology, root);
    if (rc)
        return no_memory(err);
    dt_topology_mark_partitioned(topology, root);
    dt_topology_sort_devices(topology);
    return 0;
}
