/* SPDX-License-Identifier: Apache-2.0 */
/* The instance table: what an EC2 type has, read from configs/instances.conf. It is used to judge
 * (a p5.48xlarge with 31 EFA devices is broken), to restore what a virtual machine hides (the PCI
 * tree), and to generate the trees that the local cluster's nodes live in. A new type is a new
 * section in the file, never code. Every section names the source of its numbers. */
#ifndef DT_INSTANCES_INSTANCES_H
#define DT_INSTANCES_INSTANCES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum dt_accelerator {
    DT_ACCELERATOR_NONE,
    DT_ACCELERATOR_NVIDIA,
    DT_ACCELERATOR_NEURON,
    DT_ACCELERATOR_OTHER /* another maker's: dt reads nothing of their drivers */
};

/* Devices below one PCIe switch (or root port), as the bare metal has them. */
struct dt_instance_switch {
    int numa; /* NUMA node that the switch hangs on */
    char
        *bridge; /* PCI address that the guest sees it at; "": flattened, devices on the root bus */
    char **gpus; /* accelerators' PCI addresses "0000:53:00.0", NULL-terminated */
    char **nics; /* EFA devices' PCI addresses, NULL-terminated */
};

struct dt_instance {
    char *name; /* EC2 type, equal to DMI product_name: "p5.48xlarge" */
    int vcpus;
    int cores;
    int threads_per_core;
    int packages;
    int numa_nodes;
    char *cpu_vendor;       /* as in /proc/cpuinfo: "AuthenticAMD" | "GenuineIntel" | "ARM" */
    bool topology_measured; /* false: modelled from the sources named, not seen on the machine */
    long long memory_mib;   /* nominal; the guest sees a few percent less */
    long long local_storage_gb; /* instance store, all its disks; 0: none, or not stated */

    enum dt_accelerator accelerator;
    char *accelerator_model;  /* "NVIDIA H100 80GB HBM3" */
    char *accelerator_pci_id; /* "10de:2330" */
    int accelerators;
    long long accelerator_memory_mib; /* each */
    int nvlinks;                      /* per GPU; 0: none */

    int efas;           /* EFA devices */
    int efa_generation; /* 1..4 = Nitro v3..v6; 0: none */
    char *efa_pci_id;   /* "1d0f:efa1" */
    bool rdma_read;
    bool rdma_write;
    int efa_gbps; /* per device */

    struct dt_instance_switch *switches;
    size_t switch_count;
    char *source;
};

struct dt_instances {
    struct dt_instance *items;
    size_t count;
};

/* Every number is checked against the others (cores x threads = vcpus, devices listed = devices
 * counted, addresses unique ...): a table that is wrong is refused as a whole. */
int dt_instances_load(struct dt_instances *table, const char *path, struct dt_error *err);
/* Only the section of one type, for a node that knows what it is and can not spend the 4 ms that 59
 * types take: 0.3 ms. The other sections are stepped over unread. A type that is not in the file
 * leaves an empty table, which is no error. */
int dt_instances_load_type(struct dt_instances *table, const char *path, const char *type,
                           struct dt_error *err);

/* The same on text in memory, called `name` in errors. text[len] must be NUL. */
int dt_instances_parse(struct dt_instances *table, const char *name, const char *text, size_t len,
                       struct dt_error *err);
void dt_instances_fini(struct dt_instances *table);

/* NULL when the type is not in the table. */
const struct dt_instance *dt_instances_find(const struct dt_instances *table, const char *name);

#endif
