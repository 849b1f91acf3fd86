/* SPDX-License-Identifier: Apache-2.0 */
/* The joint plan: which cores, memory, accelerators and NICs each local rank gets.
 *
 * Rules, each an invariant in tests/unit/test_bind.c over all topologies: every rank has at least
 * one PU, inside what Slurm allowed; every allowed PU belongs to exactly one rank when ranks <=
 * allowed cores (ranks share cores evenly otherwise); SMT siblings stay together; shares of cores
 * and of accelerators differ by at most one; every rank gets an accelerator when there are enough,
 * in PCI order, so that local rank i has GPU i when the counts match; a group of NICs is given
 * whole; one rank alone gets everything; the plan depends on nothing but its input.
 *
 * Each rank's cores are the nearest to its accelerators that the equal shares leave: the sum of the
 * NUMA distances is the smallest possible. */
#ifndef DT_BIND_BIND_H
#define DT_BIND_BIND_H

#include <hwloc.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "topology/topology.h"

struct dt_bind_request {
    const struct dt_topology *topology;
    size_t ranks;                        /* local ranks, 1 or more */
    const hwloc_const_bitmap_t *allowed; /* per rank: mask seen in the task; OS PU numbers */
    const char *user_visible_devices;    /* the user's own CUDA_VISIBLE_DEVICES, or NULL */
    bool user_bound;                     /* the user bound explicitly: stand back */
    const char *memory; /* policy asked for: "bind", "interleave", "local"; NULL: preferred */
};

struct dt_bind_rank {
    hwloc_bitmap_t cpus;  /* OS PU numbers; never empty */
    hwloc_bitmap_t numa;  /* OS NUMA node numbers nearest to cpus: memory is preferred there; empty:
                             leave the memory policy alone */
    size_t *accelerators; /* indices into the topology */
    size_t accelerator_count;
    size_t *nics;
    size_t nic_count;
};

struct dt_bind_plan {
    struct dt_bind_rank *ranks;
    size_t rank_count;
    bool stand_back;    /* cpus are the ranks' own masks, as found: nothing to apply. Accelerators,
                        NICs and memory are those nearest to them */
    const char *memory; /* as in the request, "preferred" where it had none; borrowed */
    char *summary;      /* one line: "2 ranks, 8 cores and 4 GPUs each, memory preferred on ..." */
    char *reason;       /* why it stood back, or NULL */
};

/* Fails for no ranks, an empty mask, or no memory left. The plan is then empty: bind nothing. */
int dt_bind_plan(struct dt_bind_plan *plan, const struct dt_bind_request *request,
                 struct dt_error *err);
void dt_bind_plan_fini(struct dt_bind_plan *plan);

/* Rank by rank, what and why; several lines. Caller frees. */
char *dt_bind_explain(const struct dt_bind_plan *plan, const struct dt_topology *topology);

#endif
