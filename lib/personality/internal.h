/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of lib/personality share: writing small files, the machine in numbers, and what is
 * written of it. Changing a tree that is there: edit.h. */
#ifndef DT_PERSONALITY_INTERNAL_H
#define DT_PERSONALITY_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "instances/instances.h"
#include "personality/personality.h"

/* ---- writing files (tree.c) ----
 * The first failure is kept in `err` and later calls do nothing, so a writer checks `failed` once.
 */
struct dt_tree {
    int root; /* descriptor of the directory that stands for "/" */
    int dir;  /* where dt_tree_file and dt_tree_link write: the last dt_tree_enter */
    bool failed;
    struct dt_error *err;
};

/* The directory must be new or empty. */
int dt_tree_open_new(struct dt_tree *tree, const char *path, struct dt_error *err);
int dt_tree_open_existing(struct dt_tree *tree, const char *path, struct dt_error *err);
int dt_tree_close(struct dt_tree *tree); /* 0, or -1 when anything failed */
int dt_tree_fail(struct dt_tree *tree, const char *what,
                 const char *path); /* from errno; returns -1 */

/* Make a directory and those above it, below the root, and write there from now on. */
void dt_tree_enter(struct dt_tree *tree, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void dt_tree_file(struct dt_tree *tree, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void dt_tree_bytes(struct dt_tree *tree, const char *name, const void *bytes, size_t len);
void dt_tree_link(struct dt_tree *tree, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- the machine (machine.c) ---- */
struct dt_persona {
    const struct dt_instance *type;
    const char *node; /* seeds serial numbers and UUIDs */
};

struct dt_persona_device {
    const char *bdf;
    const char *bridge; /* "": on a root bus */
    int numa;
};

/* All GPUs (or Neuron devices), or all NICs, in the table's order. Caller frees. */
struct dt_persona_device *dt_persona_accelerators(const struct dt_persona *machine);
struct dt_persona_device *dt_persona_nics(const struct dt_persona *machine);

/* The same for the same machine, tag and index, and different otherwise. */
uint64_t dt_persona_hash(const struct dt_persona *machine, const char *tag, size_t index);
void dt_persona_gpu_uuid(const struct dt_persona *machine, size_t gpu, char uuid[48]);

long long dt_persona_memory_kib(const struct dt_persona *machine);
long long dt_persona_huge_pages(const struct dt_persona *machine); /* of 2 MiB */
int dt_persona_numa_of_core(const struct dt_persona *machine, int core);

/* Sets of CPUs in the two notations of sysfs. NUMA node -1: all. Caller frees; NULL: no memory. */
char *dt_persona_node_cpulist(const struct dt_persona *machine, int node);
char *dt_persona_node_cpumask(const struct dt_persona *machine, int node);

/* ---- what is written (one file each) ---- */
void dt_persona_write_cpus(struct dt_tree *tree, const struct dt_persona *machine);
void dt_persona_write_memory(struct dt_tree *tree, const struct dt_persona *machine);
void dt_persona_write_pci(struct dt_tree *tree, const struct dt_persona *machine);
void dt_persona_write_efas(struct dt_tree *tree, const struct dt_persona *machine);
void dt_persona_write_neuron(struct dt_tree *tree, const struct dt_persona *machine);
void dt_persona_write_software(struct dt_tree *tree, const struct dt_persona *machine);
int dt_persona_write_nvml(struct dt_tree *tree, const struct dt_persona *machine,
                          const char *library);

/* Path of a PCI device below sys/, without a leading slash. Caller frees. */
char *dt_persona_pci_path(const struct dt_persona_device *device);

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
/* Processes: nv-fabricmanager; slurmd, for a service that dt.conf asks for. */
#define PERSONALITY_FABRIC_MANAGER "proc/4321"
#define PERSONALITY_SERVICE        "proc/4322"
/* The line of mountinfo of a shared file system. */
#define PERSONALITY_FSX "40 1 0:50 / /fsx rw,relatime shared:2 - lustre 10.0.0.9@tcp:/fsx rw\n"

/* ---- what the node remembers (history.c) ---- */
int dt_persona_remember(
    struct dt_tree *tree); /* a job has ended here, with counters as they stand */
int dt_persona_lose_jobs(struct dt_tree *tree); /* three of them */
/* Raise the number in a file, that stands at 0 in what the node remembers where it has no such file. */
int dt_persona_raise(struct dt_tree *tree, const char *directory, const char *file);

#endif
