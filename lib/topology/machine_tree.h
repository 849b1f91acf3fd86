/* SPDX-License-Identifier: Apache-2.0 */
/* The CPUs of a machine as a tree of sets, as hwloc wants them: made in machine_tree.c, written as
 * hwloc's XML in machine_xml.c. */
#ifndef DT_TOPOLOGY_MACHINE_TREE_H
#define DT_TOPOLOGY_MACHINE_TREE_H

#include "topology/machine.h"

struct dt_machine_set {
    hwloc_bitmap_t cpus;
    int package;                   /* number, or -1: a group around NUMA nodes, or the machine */
    size_t parent;                 /* index of the smallest set around it; 0 is the machine */
    size_t *children, child_count; /* sets, by first CPU */
    size_t *cores, core_count;     /* indices into `cores`, by first CPU */
};

struct dt_machine_core {
    hwloc_bitmap_t cpus;
    size_t home;
    unsigned number;
};

struct dt_machine_tree {
    struct dt_machine *machine;
    struct dt_machine_set *sets; /* [0] is the machine; then by falling size */
    size_t set_count;
    struct dt_machine_core *cores;
    size_t core_count;
    unsigned next_index; /* gp_index of the next object that is written */
    hwloc_bitmap_t all, nodes;
    size_t *node_order; /* indices of the machine's nodes by the kernel's number */
    struct dt_error *err;
};

/* layout->machine and ->err are given. What does not fit in a tree is noted in the machine. */
int dt_machine_tree_make(struct dt_machine_tree *layout);
void dt_machine_tree_fini(struct dt_machine_tree *layout);

#endif
