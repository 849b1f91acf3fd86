/* SPDX-License-Identifier: Apache-2.0 */
/* A machine as described from outside (a file, the instance table), before it is a topology. Readers
 * fill it in; dt_machine_build checks it, makes what hwloc needs of the CPUs, and groups the devices.
 * So nothing that comes from outside reaches hwloc but what was checked here. */
#ifndef DT_TOPOLOGY_MACHINE_H
#define DT_TOPOLOGY_MACHINE_H

#include "base/buf.h"
#include "topology/topology.h"

#define DT_MACHINE_PUS_MAX     16384
#define DT_MACHINE_NODES_MAX   1024
#define DT_MACHINE_DEVICES_MAX 4096

struct dt_machine_pu {
    unsigned os; /* the kernel's number */
    int core;    /* PUs with the same number share a core; -1: a core of its own */
    int package; /* -1: not known */
};

struct dt_machine_node {
    unsigned os;
    hwloc_bitmap_t cpus; /* empty: a node without CPUs */
    unsigned long long memory;
};

struct dt_machine_device {
    bool nic;
    enum dt_accelerator kind; /* of an accelerator */
    char *id, *bdf, *model, *path;
    int node_os; /* NUMA node by the kernel's number; -1: not known */
};

struct dt_machine {
    struct dt_machine_pu *pus;
    size_t pu_count;
    struct dt_machine_node *nodes;
    size_t node_count;
    struct dt_machine_device *devices;
    size_t device_count;
    unsigned long long
        *distances;      /* node_count x node_count in the order of nodes; NULL: unknown */
    char *product;       /* NULL: not known */
    struct dt_buf notes; /* a line each */
    const char *name;    /* of the file, for errors; borrowed */
    bool places_only;    /* asked of a reader: where devices are, and nothing else */
};

int dt_machine_add_pu(struct dt_machine *machine, struct dt_machine_pu pu, struct dt_error *err);
/* cpus is copied. */
int dt_machine_add_node(struct dt_machine *machine, unsigned os, hwloc_const_bitmap_t cpus,
                        unsigned long long memory, struct dt_error *err);
/* Strings are copied; NULL stands for "". Returns the new device, or NULL with err set. */
struct dt_machine_device *dt_machine_add_device(struct dt_machine *machine,
                                                struct dt_machine_device device,
                                                struct dt_error *err);
void dt_machine_note(struct dt_machine *machine, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Makes `topology`, with source as given (copied). `instance` groups what the paths leave flat. */
int dt_machine_build(struct dt_machine *machine, struct dt_topology *topology, const char *source,
                     const struct dt_instance *instance, struct dt_error *err);
/* The CPU side in hwloc's XML; part of the above. NULL with err set on failure. */
char *dt_machine_hwloc_xml(struct dt_machine *machine, struct dt_error *err);
void dt_machine_fini(struct dt_machine *machine);

/* Readers. */
int dt_machine_from_hwloc(struct dt_machine *machine, const char *text, size_t len,
                          struct dt_error *err);
/* *instance is set to the type whose addresses the file has, when it was NULL. */
int dt_machine_from_nccl(struct dt_machine *machine, const char *text, size_t len,
                         const struct dt_instances *table, const struct dt_instance **instance,
                         struct dt_error *err);
/* hwloc XML or NCCL XML, told apart by content. */
int dt_machine_parse(struct dt_machine *machine, const char *text, size_t len,
                     const struct dt_instances *table, const struct dt_instance **instance,
                     struct dt_error *err);
int dt_machine_from_instance(struct dt_machine *machine, const struct dt_instance *instance,
                             struct dt_error *err);
/* Only the CPUs and NUMA nodes. */
int dt_machine_cpus_of_instance(struct dt_machine *machine, const struct dt_instance *instance,
                                struct dt_error *err);
/* Only the devices, in a flat tree: the build groups them. */
int dt_machine_devices_of_instance(struct dt_machine *machine, const struct dt_instance *instance,
                                   struct dt_error *err);

#endif
