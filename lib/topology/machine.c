/* SPDX-License-Identifier: Apache-2.0 */
/* Filling in a machine, and making a topology of it: CPUs through hwloc, devices in PCI order. */
#include "topology/machine.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "topology/internal.h"

static int no_memory(const struct dt_machine *machine, struct dt_error *err)
{
    return dt_error_set(err, "%s: no memory left for its topology", machine->name);
}

/* Room for one more; arrays grow by doubling, so they are full at powers of two. */
static void *grow(void *items, size_t count, size_t size)
{
    if (count & (count - 1))
        return items;
    return realloc(items, (count ? 2 * count : 1) * size);
}

int dt_machine_add_pu(struct dt_machine *machine, struct dt_machine_pu pu, struct dt_error *err)
{
    struct dt_machine_pu *grown;

    if (machine->pu_count >= DT_MACHINE_PUS_MAX || pu.os >= DT_MACHINE_PUS_MAX)
        return dt_error_set(err, "%s: a PU beyond the %d that dt can plan for", machine->name,
                            DT_MACHINE_PUS_MAX);
    grown = grow(machine->pus, machine->pu_count, sizeof(*grown));
    if (!grown)
        return no_memory(machine, err);
    machine->pus = grown;
    machine->pus[machine->pu_count++] = pu;
    return 0;
}

int dt_machine_add_node(struct dt_machine *machine, unsigned os, hwloc_const_bitmap_t cpus,
                        unsigned long long memory, struct dt_error *err)
{
    struct dt_machine_node *grown;
    hwloc_bitmap_t copy;

    if (machine->node_count >= DT_MACHINE_NODES_MAX || os >= DT_MACHINE_NODES_MAX)
        return dt_error_set(err, "%s: a NUMA node beyond the %d that Linux knows", machine->name,
                            DT_MACHINE_NODES_MAX);
    for (size_t n = 0; n < machine->node_count; n++)
        if (machine->nodes[n].os == os)
            return dt_error_set(err, "%s: NUMA node %u stands in it twice", machine->name, os);
    grown = grow(machine->nodes, machine->node_count, sizeof(*grown));
    if (grown)
        machine->nodes = grown;
    copy = grown ? hwloc_bitmap_dup(cpus) : NULL;
    if (!copy)
        return no_memory(machine, err);
    machine->nodes[machine->node_count++] =
        (struct dt_machine_node){.os = os, .cpus = copy, .memory = memory};
    return 0;
}

static char *copy_text(const char *text)
{
    return strdup(text ? text : "");
}

struct dt_machine_device *dt_machine_add_device(struct dt_machine *machine,
                                                struct dt_machine_device device,
                                                struct dt_error *err)
{
    struct dt_machine_device *grown;

    if (machine->device_count >= DT_MACHINE_DEVICES_MAX) {
        dt_error_set(err, "%s: more than %d accelerators and NICs", machine->name,
                     DT_MACHINE_DEVICES_MAX);
        return NULL;
    }
    grown = grow(machine->devices, machine->device_count, sizeof(*grown));
    if (!grown) {
        no_memory(machine, err);
        return NULL;
    }
    machine->devices = grown;
    device.id = copy_text(device.id);
    device.bdf = copy_text(device.bdf);
    device.model = copy_text(device.model);
    device.path = copy_text(device.path);
    machine->devices[machine->device_count++] = device;
    if (!device.id || !device.bdf || !device.model || !device.path) {
        no_memory(machine, err);
        return NULL;
    }
    return &machine->devices[machine->device_count - 1];
}

void dt_machine_note(struct dt_machine *machine, const char *format, ...)
{
    char *text = NULL;
    va_list args;

    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        text = NULL;
    va_end(args);
    if (text)
        dt_buf_printf(&machine->notes, "%s\n", text);
    else
        machine->notes.failed = true;
    free(text);
}

void dt_machine_fini(struct dt_machine *machine)
{
    for (size_t n = 0; n < machine->node_count; n++)
        hwloc_bitmap_free(machine->nodes[n].cpus);
    for (size_t d = 0; d < machine->device_count; d++) {
        free(machine->devices[d].id);
        free(machine->devices[d].bdf);
        free(machine->devices[d].model);
        free(machine->devices[d].path);
    }
    free(machine->pus);
    free(machine->nodes);
    free(machine->devices);
    free(machine->distances);
    free(machine->product);
    dt_buf_fini(&machine->notes);
    memset(machine, 0, sizeof(*machine));
}

/* ---- topology -------------------------------------------------------------------------------- */

static int build_cpus(struct dt_machine *machine, struct dt_topology *topology,
                      struct dt_error *err)
{
    char *xml = dt_machine_hwloc_xml(machine, err);
    int rc = xml ? dt_topology_cpu_from_xml(&topology->hwloc, xml, strlen(xml)) : -1;

    if (xml && rc)
        dt_error_set(err, "%s: hwloc can not make a topology of its CPUs", machine->name);
    free(xml);
    return rc;
}

/* Strings move over from the machine. */
static void take_device(struct dt_device *to, struct dt_machine_device *from,
                        hwloc_topology_t hwloc)
{
    hwloc_obj_t node = from->node_os < 0
                           ? NULL
                           : hwloc_get_numanode_obj_by_os_index(hwloc, (unsigned)from->node_os);

    *to = (struct dt_device){.id = from->id,
                             .bdf = from->bdf,
                             .model = from->model,
                             .path = from->path,
                             .numa = node ? (int)node->logical_index : -1,
                             .group = -1,
                             .root = -1};
    from->id = from->bdf = from->model = from->path = NULL;
}

/* A node can hold several makers' accelerators; ranks are given those of one, NVIDIA's first. */
static enum dt_accelerator main_kind(const struct dt_machine *machine)
{
    enum dt_accelerator best = DT_ACCELERATOR_NONE;

    for (size_t d = 0; d < machine->device_count; d++) {
        const struct dt_machine_device *device = &machine->devices[d];
        if (!device->nic && (best == DT_ACCELERATOR_NONE || device->kind < best))
            best = device->kind;
    }
    return best;
}

static int build_devices(struct dt_machine *machine, struct dt_topology *topology,
                         struct dt_error *err)
{
    size_t room = machine->device_count ? machine->device_count : 1;

    topology->kind = main_kind(machine);
    topology->accelerators = calloc(room, sizeof(struct dt_device));
    topology->nics = calloc(room, sizeof(struct dt_device));
    if (!topology->accelerators || !topology->nics)
        return no_memory(machine, err);
    for (size_t d = 0; d < machine->device_count; d++) {
        struct dt_machine_device *device = &machine->devices[d];
        if (device->nic)
            take_device(&topology->nics[topology->nic_count++], device, topology->hwloc);
        else if (device->kind == topology->kind)
            take_device(&topology->accelerators[topology->accelerator_count++], device,
                        topology->hwloc);
    }
    dt_topology_sort_devices(topology);
    return 0;
}

/* Devices without a place are planned for as if they were equally near to all. */
static void note_placeless(struct dt_machine *machine, const struct dt_topology *topology)
{
    size_t count = 0;

    for (size_t i = 0; i < topology->accelerator_count; i++)
        count += topology->accelerators[i].numa < 0;
    if (count > 0 && machine->node_count > 1)
        dt_machine_note(machine,
                        "%zu of %zu accelerators are on no NUMA node that is known: cores are "
                        "dealt as if they were equally near to all",
                        count, topology->accelerator_count);
}

int dt_machine_build(struct dt_machine *machine, struct dt_topology *topology, const char *source,
                     const struct dt_instance *instance, struct dt_error *err)
{
    memset(topology, 0, sizeof(*topology));
    if (build_cpus(machine, topology, err) || build_devices(machine, topology, err))
        goto fail;
    if (dt_topology_group_devices(topology, instance, source, err))
        goto fail;
    note_placeless(machine, topology);
    topology->machine = copy_text(machine->product);
    topology->notes = dt_buf_take(&machine->notes);
    if (topology->machine && topology->notes)
        return 0;
    no_memory(machine, err);
fail:
    dt_topology_fini(topology);
    return -1;
}
