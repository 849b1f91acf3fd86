/* SPDX-License-Identifier: Apache-2.0 */
/* Inside dt-personality: a tree of small files that stands for a machine of some EC2 type, so that
 * everything which reads /sys and /proc can be tried without the machine. */
#ifndef DT_PERSONALITY_H
#define DT_PERSONALITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "instances/instances.h"

/* ---- writing files (personality_tree.c) ----
 * The first failure is kept in `err` and later calls do nothing, so a writer checks `failed` once.
 */
struct tree {
    int root; /* descriptor of the directory that stands for "/" */
    int dir;  /* where tree_file and tree_link write: the last tree_enter */
    bool failed;
    struct dt_error *err;
};

/* The directory must be new or empty. */
int tree_open_new(struct tree *tree, const char *path, struct dt_error *err);
int tree_open_existing(struct tree *tree, const char *path, struct dt_error *err);
int tree_close(struct tree *tree); /* 0, or -1 when anything failed */
int tree_fail(struct tree *tree, const char *what, const char *path); /* from errno; returns -1 */

/* Make a directory and those above it, below the root, and write there from now on. */
void tree_enter(struct tree *tree, const char *format, ...) __attribute__((format(printf, 2, 3)));
void tree_file(struct tree *tree, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void tree_bytes(struct tree *tree, const char *name, const void *bytes, size_t len);
void tree_link(struct tree *tree, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- the machine (personality_machine.c) ---- */
struct machine {
    const struct dt_instance *type;
    const char *node; /* seeds serial numbers and UUIDs */
};

struct device {
    const char *bdf;
    const char *bridge; /* "": on a root bus */
    int numa;
};

/* All GPUs (or Neuron devices), or all NICs, in the table's order. Caller frees. */
struct device *machine_accelerators(const struct machine *machine);
struct device *machine_nics(const struct machine *machine);

/* The same for the same machine, tag and index, and different otherwise. */
uint64_t machine_hash(const struct machine *machine, const char *tag, size_t index);
void machine_gpu_uuid(const struct machine *machine, size_t gpu, char uuid[48]);

long long machine_memory_kib(const struct machine *machine);
long long machine_huge_pages(const struct machine *machine); /* of 2 MiB */
int machine_numa_of_core(const struct machine *machine, int core);

/* Sets of CPUs in the two notations of sysfs. NUMA node -1: all. Caller frees; NULL: no memory. */
char *machine_node_cpulist(const struct machine *machine, int node);
char *machine_node_cpumask(const struct machine *machine, int node);

/* ---- what is written (one file each) ---- */
void write_cpus(struct tree *tree, const struct machine *machine);
void write_memory(struct tree *tree, const struct machine *machine);
void write_pci(struct tree *tree, const struct machine *machine);
void write_efas(struct tree *tree, const struct machine *machine);
void write_neuron(struct tree *tree, const struct machine *machine);
void write_software(struct tree *tree, const struct machine *machine);
int write_nvml(struct tree *tree, const struct machine *machine, const char *library);

/* Path of a PCI device below sys/, without a leading slash. Caller frees. */
char *pci_device_path(const struct device *device);

/* ---- faults (personality_fault.c) ---- */
struct fault {
    const char *name;
    const char *does;
    const char *found_by;            /* checks of dt that should name it: "a or b" */
    int (*plant)(struct tree *tree); /* or, where NULL, one of these: */
    const char *nvml;                /* line for the fake NVML; %s: address of the last GPU */
    const char *path, *text;         /* file to write, made where it is missing */
    const char *fact; /* member for dt-facts.json, of trees alone: "\"clock.synced\": 0" */
};
extern const struct fault faults[]; /* NULL name ends it */
int plant_fault(struct tree *tree, const struct fault *fault);

/* ---- what the trees claim to run ---- */
#define PERSONALITY_KERNEL        "6.8.0-1031-aws"
#define PERSONALITY_NVIDIA        "570.172.08"
#define PERSONALITY_EFA_DRIVER    "2.17.2g"
#define PERSONALITY_EFA_INSTALLER "1.43.2"
#define PERSONALITY_LIBFABRIC     "2.1.0amzn5.0"
#define PERSONALITY_LIBFABRIC_SO  "libfabric.so.1.27.0"
#define PERSONALITY_OFI_NCCL      "1.16.3"
#define PERSONALITY_NCCL          "2.27.5"
#define PERSONALITY_NEURON        "2.24.7.0"

#endif
