/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of lib/bind share.
 *
 * Words: a core is a hwloc core cut down to the allowed PUs (or a PU, where the topology knows no
 * cores). A slot is a rank's claim on a core: with at least as many cores as ranks each core is one
 * slot; with fewer, cores are repeated until there is one slot a rank. A home is a NUMA node, by
 * its logical index. */
#ifndef DT_BIND_INTERNAL_H
#define DT_BIND_INTERNAL_H

#include "bind/bind.h"

struct dt_bind_space {
    hwloc_bitmap_t *cores; /* in the topology's order */
    int *core_home;        /* per core; 0 when the topology does not say */
    size_t core_count;
    size_t *slots; /* index of the core, ascending */
    size_t slot_count;
    bool located; /* the allowed PUs are in the topology, so homes mean something */
};

/* Distances between NUMA nodes by logical index; 10 = the same node, as the kernel counts. */
struct dt_bind_distances {
    size_t nodes; /* 1 or more */
    long long *values;
};

int dt_bind_space_init(struct dt_bind_space *space, hwloc_topology_t hwloc,
                       hwloc_const_bitmap_t allowed, size_t ranks);
void dt_bind_space_fini(struct dt_bind_space *space);
int dt_bind_home_of(hwloc_topology_t hwloc, unsigned pu);

int dt_bind_distances_init(struct dt_bind_distances *distances, hwloc_topology_t hwloc);
void dt_bind_distances_fini(struct dt_bind_distances *distances);
long long dt_bind_distance(const struct dt_bind_distances *distances, int a, int b);

/* Give each of `ranks` an equal share (differing by at most one) of what the nodes have, at the
 * smallest total cost. cost and share are ranks x nodes; the sum of `have` is at least `ranks`. */
int dt_bind_assign(size_t ranks, size_t nodes, const long long *cost, const size_t *have,
                   size_t *share);

/* Fill each rank's accelerators: contiguous chunks in PCI order. With `masks_fixed` the chunks are
 * exchanged between ranks while that brings accelerators nearer to the ranks' cpus. */
int dt_bind_accelerators(struct dt_bind_plan *plan, const struct dt_topology *topology,
                         const struct dt_bind_distances *distances, bool masks_fixed);

/* Fill each rank's NICs from its accelerators, else from its cpus. */
int dt_bind_nics(struct dt_bind_plan *plan, const struct dt_topology *topology,
                 const struct dt_bind_distances *distances);

/* plan->summary; `masks_found`: say that the CPUs stayed as they were found. NULL: no memory. */
char *dt_bind_summary(const struct dt_bind_plan *plan, const struct dt_bind_request *request);

#endif
