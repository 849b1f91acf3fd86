/* SPDX-License-Identifier: Apache-2.0 */
/* The joint plan: which cores, memory, accelerators and NICs each local rank gets.
 *
 * Rules, each an invariant in tests/unit/test_bind.c over all topologies: every rank has at least one
 * PU, inside what Slurm allowed; every allowed PU belongs to exactly one rank when ranks <= allowed
 * cores (ranks share evenly otherwise); SMT siblings stay together; shares of cores and of
 * accelerators differ by at most one; every rank gets an accelerator when there are enough; the plan
 * depends on nothing but its input. */
#ifndef DT_BIND_BIND_H
#define DT_BIND_BIND_H

#include <hwloc.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "topology/topology.h"

struct dt_bind_request {
    const struct dt_topology *topology;
    size_t ranks;                    /* local ranks, 1 or more */
    const hwloc_const_bitmap_t *allowed; /* per rank: mask seen in the task; OS PU numbers */
    const char *user_visible_devices; /* the user's own CUDA_VISIBLE_DEVICES, or NULL */
    bool user_bound;                 /* the user bound explicitly: stand back */
};

struct dt_bind_rank {
    hwloc_bitmap_t cpus;     /* OS PU numbers */
    hwloc_bitmap_t numa;     /* OS NUMA node numbers nearest to cpus: memory is preferred there */
    size_t *accelerators;    /* indices into the topology */
    size_t accelerator_count;
    size_t *nics;
    size_t nic_count;
};

struct dt_bind_plan {
    struct dt_bind_rank *ranks; /* NULL when dt stands back */
    size_t rank_count;
    bool stand_back;
    char *summary; /* one line: "2 ranks, 8 cores and 4 GPUs each, memory preferred on ..." */
    char *reason;  /* why it stood back, or NULL */
};

int dt_bind_plan(struct dt_bind_plan *plan, const struct dt_bind_request *request,
                 struct dt_error *err);
void dt_bind_plan_fini(struct dt_bind_plan *plan);

/* Rank by rank, what and why; several lines. Caller frees. */
char *dt_bind_explain(const struct dt_bind_plan *plan, const struct dt_topology *topology);

#endif
