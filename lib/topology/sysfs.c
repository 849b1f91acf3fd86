/* SPDX-License-Identifier: Apache-2.0 */
/* What the facts do not name: GPUs on a bus without a driver, RDMA NICs that are not EFA, and GPUs
 * whose instances (MIG) are given out by others. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "topology/internal.h"

#define PCI  "sys/bus/pci/devices"
#define RDMA "sys/class/infiniband"

static struct dt_device *add_room(struct dt_device **devices, size_t *count)
{
    struct dt_device *grown = realloc(*devices, (*count + 1) * sizeof(*grown));

    if (!grown)
        return NULL;
    *devices = grown;
    memset(&grown[*count], 0, sizeof(*grown));
    return &grown[(*count)++];
}

static void place(struct dt_device *device, const struct dt_topology *topology,
                  const struct dt_root *root)
{
    long long numa;

    if (dt_root_read_long(root, &numa, PCI "/%s/numa_node", device->bdf) == 0)
        device->numa = dt_topology_logical_node(topology->hwloc, numa);
}

static bool pci_is(const struct dt_root *root, const char *bdf, const char *file, long long wanted,
                   long long mask)
{
    long long value;
    return dt_root_read_long(root, &value, PCI "/%s/%s", bdf, file) == 0 &&
           (value & mask) == wanted;
}

int dt_topology_add_bus_gpus(struct dt_topology *topology, const struct dt_root *root)
{
    char **names;
    int count = dt_root_list(root, &names, PCI), rc = 0;

    for (int i = 0; i < count && rc == 0; i++) {
        struct dt_device *device;
        char id[64];
        if (!pci_is(root, names[i], "vendor", 0x10de, ~0LL) ||
            !pci_is(root, names[i], "class", 0x030000, 0xff0000))
            continue;
        snprintf(id, sizeof(id), "pci:%.40s", names[i]);
        device = add_room(&topology->accelerators, &topology->accelerator_count);
        rc = device ? dt_topology_fill_device(device, root, id, names[i], "") : -1;
        if (rc == 0)
            place(device, topology, root);
    }
    if (topology->accelerator_count > 0)
        topology->kind = DT_ACCELERATOR_NVIDIA;
    if (count >= 0)
        dt_names_free(names);
    return rc;
}

static int add_nic(struct dt_topology *topology, const struct dt_root *root, const char *name)
{
    char link[1024];
    const char *bdf;
    struct dt_device *device;

    if (dt_root_readlink(root, link, sizeof(link), RDMA "/%s/device", name) <= 0)
        return 0; /* soft RDMA: on no bus, near to nothing */
    bdf = strrchr(link, '/') ? strrchr(link, '/') + 1 : link;
    /* A virtual function is a part of its physical one, which is in the list itself. */
    if (!dt_root_exists(root, PCI "/%s", bdf) || dt_root_exists(root, PCI "/%s/physfn", bdf))
        return 0;
    device = add_room(&topology->nics, &topology->nic_count);
    if (!device || dt_topology_fill_device(device, root, name, bdf, ""))
        return -1;
    place(device, topology, root);
    return 0;
}

int dt_topology_add_other_nics(struct dt_topology *topology, const struct dt_root *root)
{
    char **names;
    int count = dt_root_list(root, &names, RDMA), rc = 0;

    for (int i = 0; i < count && rc == 0; i++)
        rc = add_nic(topology, root, names[i]);
    if (count >= 0)
        dt_names_free(names);
    return rc;
}

/* The driver's number of a GPU, by which it names its capabilities; -1: not known. */
static long minor_of(const struct dt_root *root, const char *bdf)
{
    char text[4096], *line;

    if (!*bdf ||
        dt_root_read(root, text, sizeof(text), "proc/driver/nvidia/gpus/%s/information", bdf) <= 0)
        return -1;
    line = strstr(text, "Device Minor:");
    return line ? strtol(line + strlen("Device Minor:"), NULL, 10) : -1;
}

void dt_topology_mark_partitioned(struct dt_topology *topology, const struct dt_root *root)
{
    if (topology->kind != DT_ACCELERATOR_NVIDIA ||
        !dt_root_exists(root, "proc/driver/nvidia/capabilities"))
        return;
    for (size_t i = 0; i < topology->accelerator_count; i++) {
        struct dt_device *device = &topology->accelerators[i];
        long minor = minor_of(root, device->bdf);
        char **names;
        int count = minor < 0 ? -1
                              : dt_root_list(root, &names,
                                             "proc/driver/nvidia/capabilities/gpu%ld/mig", minor);
        for (int k = 0; k < count; k++) /* "gi1": a GPU instance */
            device->partitioned |= strncmp(names[k], "gi", 2) == 0;
        if (count >= 0)
            dt_names_free(names);
    }
}
