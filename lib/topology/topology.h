/* SPDX-License-Identifier: Apache-2.0 */
/* One model of a node for the binder: PUs, cores, packages and NUMA nodes as a hwloc topology;
 * GPUs, Neuron devices and RDMA NICs with their places in the PCI tree.
 *
 * It comes from the live machine (hwloc for the CPUs, loaded from a per-boot cache so that a launch
 * never pays discovery; the facts and sysfs for devices, which are never cached), from a file (hwloc
 * XML or NCCL XML, told apart by content), or from the instance table. A virtual machine flattens
 * the PCI tree: an override file of the admin or the instance table restores it. `source` says
 * which was used. */
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
    char *id;    /* GPU: UUID, else "pci:BDF"; Neuron: "neuron3"; NIC: "rdmap79s0" */
    char *bdf;   /* "0000:53:00.0"; "" when not known */
    char *model; /* "NVIDIA H100 80GB HBM3"; "" when not known */
    char *path;  /* host bridge, bridges and the device itself, as below /sys/devices:
                    "pci0000:00/0000:00:01.0/0000:01:00.0"; "" when not known */
    int numa;    /* logical NUMA node index in the model, -1: unknown */
    int group;   /* PCIe switch or root port shared with other devices; -1: none known */
    int root; /* host bridge (root complex) shared with other devices; -1: alone, or all share one */
    bool partitioned; /* a GPU in MIG mode: its instances are given out by others, so left alone */
};

struct dt_topology {
    hwloc_topology_t hwloc;         /* CPU side; owned */
    struct dt_device *accelerators; /* GPUs in PCI order, Neuron devices by number */
    size_t accelerator_count;
    enum dt_accelerator kind;
    struct dt_device *nics; /* RDMA NICs in PCI order: EFA devices; where there are none, others */
    size_t nic_count;
    char *machine; /* "p5.48xlarge", DMI product name; "" when not known */
    char *source;  /* "sysfs", "sysfs + instance table p5.48xlarge", "hwloc XML FILE", ... */
    char *notes;   /* what a reader should know of the source, a line each; "" for nothing */
};

/* The live machine. cache_directory: absolute path, or NULL or "" for none; used only when root or
 * the caller owns it and nobody else can write there. Facts must hold gpu.devices and efa.devices.
 * Not for programs with several threads: hwloc is steered through the environment. */
int dt_topology_load(struct dt_topology *topology, const struct dt_root *root,
                     const struct dt_facts *facts, const struct dt_instance *instance,
                     const char *cache_directory, struct dt_error *err);

/* A topology file called `name` in errors: hwloc XML (lstopo --of xml; formats 1 to 3) or NCCL XML
 * (NCCL_TOPO_FILE, NCCL_TOPO_DUMP_FILE). NCCL's files leave much out: `table` fills in what a machine
 * with these PCI addresses has, and `instance`, where not NULL, says which type it is. */
int dt_topology_parse(struct dt_topology *topology, const char *name, const char *text, size_t len,
                      const struct dt_instances *table, const struct dt_instance *instance,
                      struct dt_error *err);
int dt_topology_read(struct dt_topology *topology, const char *path,
                     const struct dt_instances *table, const struct dt_instance *instance,
                     struct dt_error *err);

/* What the instance table says of a type. */
int dt_topology_of_instance(struct dt_topology *topology, const struct dt_instance *instance,
                            struct dt_error *err);

/* Put the devices of a live topology where an override file has them: hwloc XML, NCCL XML, or
 * `switch` sections as in instances.conf. A file that does not fit this machine (other devices,
 * devices in two places, nodes that are not there) changes nothing and fails with the reason. */
int dt_topology_override(struct dt_topology *topology, const char *path, struct dt_error *err);
int dt_topology_override_text(struct dt_topology *topology, const char *name, const char *text,
                              size_t len, struct dt_error *err);

/* Leave out accelerators for which keep is false: those that a job was not given. */
void dt_topology_keep_accelerators(struct dt_topology *topology, const bool *keep);

void dt_topology_fini(struct dt_topology *topology);

#endif
