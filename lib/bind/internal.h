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

#define DT_BIND_UNIT 1000 /* costs are in thousandths of the kernel's NUMA distances */

/* Distances between NUMA nodes by logical index; 10 = the same node, as the kernel counts. */
struct dt_bind_distances {
    size_t nodes; /* 1 or more */
    long long *values;
};

/* The topology, with what is asked of it again and again looked up once. */
struct dt_bind_model {
    const struct dt_topology *topology;
    struct dt_bind_distances distances;
    size_t pu_count;     /* highest OS number of a PU, and one */
    int *core_of;        /* by OS number of the PU: a number of its core; -1: no such PU */
    int *home_of;        /* by OS number of the PU; -1: not known */
    long long *nic_near; /* per accelerator: thousandths to its nearest NIC; 0: not known */
    size_t *seen;        /* per core: scratch of counting */
    size_t mark;
};

struct dt_bind_space {
    hwloc_bitmap_t *cores; /* in the topology's order */
    int *core_home;        /* per core; 0 when the topology does not say */
    size_t core_count;
    size_t *slots; /* index of the core, ascending */
    size_t slot_count;
    bool located; /* the allowed PUs are in the topology, so homes mean something */
};

/* model.c */
int dt_bind_model_init(struct dt_bind_model *model, const struct dt_topology *topology);
void dt_bind_model_fini(struct dt_bind_model *model);
int dt_bind_distances_init(struct dt_bind_distances *distances, hwloc_topology_t hwloc);
void dt_bind_distances_fini(struct dt_bind_distances *distances);
long long dt_bind_distance(const struct dt_bind_distances *distances, int a, int b);
/* Place and distance of two devices. */
struct dt_bind_near dt_bind_near_of(const struct dt_bind_model *model, const struct dt_device *a,
                                    const struct dt_device *b);
/* How far a device is from a set of PUs: the mean over their cores, and the best place of one. */
struct dt_bind_near dt_bind_near_cpus(struct dt_bind_model *model, const struct dt_device *device,
                                      hwloc_const_bitmap_t cpus);
size_t dt_bind_count_cores(struct dt_bind_model *model, hwloc_const_bitmap_t cpus);

/* space.c */
int dt_bind_space_init(struct dt_bind_space *space, const struct dt_bind_model *model,
                       hwloc_const_bitmap_t allowed, size_t ranks);
void dt_bind_space_fini(struct dt_bind_space *space);

/* assign.c: give each of `ranks` an equal share (differing by at most one) of what the nodes have,
 * at the smallest total cost. cost and share are ranks x nodes; the sum of `have` is at least
 * `ranks`. even: of the ways that cost the same one in which the ranks fare alike; slower. */
int dt_bind_assign(size_t ranks, size_t nodes, const long long *cost, const size_t *have, bool even,
                   size_t *share);

/* accelerators.c: mean distance of a rank's accelerators to each node, in thousandths. False: none
 * of them has a place; all costs are 0 then. */
bool dt_bind_node_costs(const struct dt_bind_model *model, const size_t *accelerators, size_t count,
                        long long *cost);
/* What the PCI tree costs one rank: its accelerators among each other, and to their NICs. */
long long dt_bind_pci_cost(const struct dt_bind_model *model, const size_t *accelerators,
                           size_t count);
/* Fill each rank's accelerators from the list: in the list's order where ranks and accelerators are
 * as many, else grouped (search.c) so that the plan costs least over these cores. */
int dt_bind_accelerators(struct dt_bind_plan *plan, const struct dt_bind_model *model,
                         const struct dt_bind_space *space, const struct dt_bind_list *list);
/* The same where the ranks' cpus are fixed: the nearest that equal shares leave. */
int dt_bind_accelerators_near(struct dt_bind_plan *plan, struct dt_bind_model *model,
                              const struct dt_bind_list *list);
int dt_bind_take_accelerators(struct dt_bind_rank *rank, const size_t *items, size_t count);

/* search.c: the cheapest way to part the list's accelerators (more of them than ranks, or fewer).
 * groups: what each rank gets; starts as some way that keeps the rules. */
struct dt_bind_groups {
    size_t ranks, count; /* accelerators: positions 0 .. count-1 of the list */
    size_t *owner;       /* more accelerators than ranks: the rank of each position */
    size_t *users;       /* fewer: ranks of each position */
};
int dt_bind_search(struct dt_bind_groups *groups, const struct dt_bind_model *model,
                   const struct dt_bind_space *space, const struct dt_bind_list *list);

/* nics.c: fill each rank's NICs from its accelerators, else from its cpus. */
int dt_bind_nics(struct dt_bind_plan *plan, struct dt_bind_model *model);

/* cost.c */
long long dt_bind_rank_cost(struct dt_bind_model *model, const struct dt_bind_rank *rank);
/* Everything that is derived from a rank's cpus and devices: cores, reserved, threads, cost. */
int dt_bind_derive(struct dt_bind_plan *plan, struct dt_bind_model *model,
                   const struct dt_bind_request *request);

/* reasons.c: each rank's choices */
int dt_bind_reasons(struct dt_bind_plan *plan, struct dt_bind_model *model);

/* text.c: plan->summary. NULL: no memory. */
char *dt_bind_summary(const struct dt_bind_plan *plan, const struct dt_bind_request *request);
/* plan->notes */
char *dt_bind_notes(const struct dt_bind_plan *plan, const struct dt_bind_model *model,
                    const struct dt_bind_request *request);

#endif
