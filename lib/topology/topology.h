/* SPDX-License-Identifier: Apache-2.0 */
/* One model of a node for the binder: PUs, cores, packages and NUMA nodes from hwloc (loaded from a
 * per-boot XML cache so that a launch never pays discovery), GPUs, Neuron devices and EFA NICs from
 * the facts, and, where a virtual machine has flattened the PCI tree, switches from the instance
 * table. `source` says which was used. */
#ifndef DT_TOPOLOGY_TOPOLOGY_H
#define DT_TOPOLOGY_TOPOLOGY_H

#include <hwloc.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/root.h"
#include "facts/facts.h"
#include "instances/instances.h"

struct dt_device {
    char *id;  /* GPU: UUID, else "pci:BDF"; Neuron: "neuron3"; NIC: "rdmap79s0" */
    char *bdf; /* "0000:53:00.0"; "" when not known */
    int numa;  /* logical NUMA node index in the model, -1: unknown */
    int group; /* PCIe switch or root port shared with other devices; -1: none known */
};

struct dt_topology {
    hwloc_topology_t hwloc;         /* CPU side; owned */
    struct dt_device *accelerators; /* GPUs in PCI order, Neuron devices by number */
    size_t accelerator_count;
    enum dt_accelerator kind;
    struct dt_device *nics; /* in PCI order */
    size_t nic_count;
    char *source; /* "sysfs", "sysfs + instance table p5.48xlarge", "no devices" */
};

/* cache_directory: absolute path, or NULL or "" for none; used only when root or the caller owns it
 * and nobody else can write there. Facts must hold gpu.devices and efa.devices.
 * Not for programs with several threads: hwloc is steered through the environment. */
int dt_topology_load(struct dt_topology *topology, const struct dt_root *root,
                     const struct dt_facts *facts, const struct dt_instance *instance,
                     const char *cache_directory, struct dt_error *err);
void dt_topology_fini(struct dt_topology *topology);

#endif
