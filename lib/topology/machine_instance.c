/* SPDX-License-Identifier: Apache-2.0 */
/* A machine as the instance table has it. CPU numbers are Linux's on EC2: the first threads of all
 * cores, then the second threads; packages and NUMA nodes take neighbouring cores. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "topology/machine.h"

static int add_pus(struct dt_machine *machine, const struct dt_instance *instance,
                   struct dt_error *err)
{
    for (int cpu = 0; cpu < instance->vcpus; cpu++) {
        int core = cpu % instance->cores;
        struct dt_machine_pu pu = {.os = (unsigned)cpu,
                                   .core = core,
                                   .package = core * instance->packages / instance->cores};
        if (dt_machine_add_pu(machine, pu, err))
            return -1;
    }
    return 0;
}

int dt_machine_cpus_of_instance(struct dt_machine *machine, const struct dt_instance *instance,
                                struct dt_error *err)
{
    int nodes = instance->numa_nodes > 0 ? instance->numa_nodes : 1, rc;
    unsigned long long memory = (unsigned long long)instance->memory_mib / (unsigned)nodes << 20;
    hwloc_bitmap_t cpus = hwloc_bitmap_alloc();

    rc = cpus ? add_pus(machine, instance, err)
              : dt_error_set(err, "%s: no memory left for its topology", machine->name);
    for (int node = 0; node < nodes && rc == 0; node++) {
        hwloc_bitmap_zero(cpus);
        for (int cpu = 0; cpu < instance->vcpus; cpu++)
            if (cpu % instance->cores * nodes / instance->cores == node)
                hwloc_bitmap_set(cpus, (unsigned)cpu);
        rc = dt_machine_add_node(machine, (unsigned)node, cpus, memory, err);
    }
    hwloc_bitmap_free(cpus);
    return rc;
}

/* "rdmap79s0", as rdma-core's udev rule names an EFA device by its address. */
static void nic_name(char *out, size_t size, const char *bdf)
{
    unsigned domain = 0, bus = 0, slot = 0;

    if (sscanf(bdf, "%x:%x:%x", &domain, &bus, &slot) == 3)
        snprintf(out, size, "rdmap%us%u", bus, slot);
    else
        snprintf(out, size, "pci:%.40s", bdf);
}

static int add_row(struct dt_machine *machine, const struct dt_instance *instance, char *const *row,
                   bool nic, int node, struct dt_error *err)
{
    for (; row && *row; row++) {
        char id[64], path[128];
        size_t number = 0;
        struct dt_machine_device device = {.nic = nic,
                                           .kind = instance->accelerator,
                                           .id = id,
                                           .bdf = *row,
                                           .path = path,
                                           .node_os = node};
        for (size_t d = 0; d < machine->device_count; d++)
            number += !machine->devices[d].nic;
        if (nic)
            nic_name(id, sizeof(id), *row);
        else if (instance->accelerator == DT_ACCELERATOR_NEURON)
            snprintf(id, sizeof(id), "neuron%zu", number);
        else
            snprintf(id, sizeof(id), "pci:%.40s", *row);
        /* as a virtual machine shows it: no bridges; the table's rows group the devices */
        snprintf(path, sizeof(path), "pci0000:00/%.40s", *row);
        if (!nic)
            device.model = instance->accelerator_model;
        if (!dt_machine_add_device(machine, device, err))
            return -1;
    }
    return 0;
}

int dt_machine_devices_of_instance(struct dt_machine *machine, const struct dt_instance *instance,
                                   struct dt_error *err)
{
    for (size_t s = 0; s < instance->switch_count; s++) {
        const struct dt_instance_switch *row = &instance->switches[s];
        if (add_row(machine, instance, row->gpus, false, row->numa, err) ||
            add_row(machine, instance, row->nics, true, row->numa, err))
            return -1;
    }
    return 0;
}

int dt_machine_from_instance(struct dt_machine *machine, const struct dt_instance *instance,
                             struct dt_error *err)
{
    machine->product = strdup(instance->name);
    if (!machine->product)
        return dt_error_set(err, "%s: no memory left for its topology", machine->name);
    if (dt_machine_cpus_of_instance(machine, instance, err))
        return -1;
    return dt_machine_devices_of_instance(machine, instance, err);
}
