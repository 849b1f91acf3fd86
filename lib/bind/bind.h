/* SPDX-License-Identifier: Apache-2.0 */
/* The joint plan: which cores, memory, accelerators and NICs each local rank gets.
 *
 * Rules, each an invariant in tests/unit/test_bind*.c over all topologies: every rank has at least
 * one PU, inside what Slurm allowed; every allowed PU belongs to exactly one rank when ranks <=
 * allowed cores (ranks share cores evenly otherwise); SMT siblings stay together; shares of cores
 * and of accelerators differ by at most one; every rank gets an accelerator when there are enough,
 * and with one for each, rank i gets the i-th in PCI order; a group of NICs is given whole; one
 * rank alone gets everything, since it may be a launcher that starts more; the plan depends on
 * nothing but its input.
 *
 * Cost, in units of the kernel's NUMA distances (10: same node), kept in thousandths: for each core
 * of a rank the mean distance to the rank's accelerators; for each two accelerators of one rank, and
 * for each accelerator and its nearest NICs, their distance: 2 behind one PCIe switch, 4 below one
 * root port, else that of their NUMA nodes. No plan that keeps the rules costs less (proved by
 * exhaustive search in the tests, up to 8 ranks; beyond, and where the search is cut off at
 * DT_BIND_EFFORT tries, shares of cores are still the cheapest for the accelerators given). */
#ifndef DT_BIND_BIND_H
#define DT_BIND_BIND_H

#include <hwloc.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "topology/topology.h"

struct dt_bind_list {
    const size_t *items; /* indices into the topology's accelerators */
    size_t count;
};

struct dt_bind_request {
    const struct dt_topology *topology;
    size_t ranks;                        /* local ranks, 1 or more */
    const hwloc_const_bitmap_t *allowed; /* per rank: mask seen in the task; OS PU numbers */
    const char *user_visible_devices;    /* the user's own CUDA_VISIBLE_DEVICES, or NULL */
    bool user_bound;                     /* somebody bound the CPUs on purpose: stand back */
    const char *memory; /* policy asked for: "bind", "interleave", "local"; NULL: preferred */

    const char *bound_by;     /* who, for the reason: "--cpu-bind=cores"; NULL: "the user" */
    bool refine;              /* masks that differ are Slurm's automatic choice: plan anew within
                                 all of them together */
    struct dt_bind_list gpus; /* those that the job was given, in the order in which programs count
                                 them; items NULL: all of the topology */
    const struct dt_bind_list *own; /* per rank: accelerators that somebody else chose (Slurm's
                                       --gpu-bind); NULL: dt chooses */
    size_t reserve; /* cores of each rank for threads of NCCL's proxy and EFA's progress */
    size_t loaders; /* cores of each rank for data loaders; 0: not said */
};

/* Where two things stand to each other, nearest first. */
enum dt_bind_place {
    DT_BIND_SWITCH,  /* behind one PCIe switch */
    DT_BIND_ROOT,    /* below one root port or host bridge */
    DT_BIND_NODE,    /* on one NUMA node */
    DT_BIND_PACKAGE, /* on another NUMA node of the package */
    DT_BIND_REMOTE,  /* on another package */
    DT_BIND_UNKNOWN
};

struct dt_bind_near {
    enum dt_bind_place place;
    long long distance; /* thousandths; -1: not known */
};

/* One device of a rank, how near it is, and the best that was refused for it. */
struct dt_bind_choice {
    bool nic;
    size_t device; /* index into the topology's accelerators or nics */
    /* accelerator: from the rank's cores; NIC: from the nearest of its accelerators, or its cores */
    struct dt_bind_near near;
    size_t users; /* ranks that have it, this one included */
    bool has_runner_up;
    size_t runner_up; /* the nearest of the devices of that kind that the rank did not get */
    struct dt_bind_near runner_up_near;
    int runner_up_rank; /* lowest rank that has it; -1: no rank */
};

struct dt_bind_rank {
    hwloc_bitmap_t cpus;  /* OS PU numbers; never empty */
    hwloc_bitmap_t numa;  /* OS NUMA node numbers nearest to cpus: memory is preferred there; empty:
                             leave the memory policy alone */
    size_t *accelerators; /* indices into the topology */
    size_t accelerator_count;
    size_t *nics;
    size_t nic_count;

    size_t cores;                   /* that cpus are on */
    hwloc_bitmap_t reserved;        /* PUs of cpus left for communication threads; empty: none */
    size_t omp_threads;             /* suggested: cores that are not reserved, 1 or more */
    size_t loader_workers;          /* suggested, 1 or more */
    long long cost;                 /* thousandths; see above */
    struct dt_bind_choice *choices; /* its accelerators, then its NICs */
    size_t choice_count;
};

struct dt_bind_plan {
    struct dt_bind_rank *ranks;
    size_t rank_count;
    bool stand_back;     /* cpus are the ranks' own masks, as found: nothing to apply. Accelerators,
                        NICs and memory are those nearest to them */
    const char *memory;  /* as in the request, "preferred" where it had none; borrowed */
    char *summary;       /* one line: "2 ranks, 8 cores and 4 GPUs each, memory preferred on ..." */
    char *reason;        /* why it stood back, or NULL */
    hwloc_bitmap_t idle; /* allowed PUs that no rank has, as the topology does not know them */
    long long cost;      /* sum over the ranks */
    long long linear_cost; /* the same for GPUs and cores dealt out in order, as programs do it */
    char *notes;           /* what had to be refused or guessed, a line each; "" for nothing */
};

#define DT_BIND_EFFORT 2000 /* groupings of accelerators that are tried at most */

/* Fails for no ranks, an empty mask, or no memory left. The plan is then empty: bind nothing. */
int dt_bind_plan(struct dt_bind_plan *plan, const struct dt_bind_request *request,
                 struct dt_error *err);
void dt_bind_plan_fini(struct dt_bind_plan *plan);

/* Rank by rank, what and why; several lines. Caller frees. */
char *dt_bind_explain(const struct dt_bind_plan *plan, const struct dt_topology *topology);

/* "behind the same PCIe switch" */
const char *dt_bind_place_name(enum dt_bind_place place);

/* How near two devices, or a device and a NUMA node (logical index), are. */
struct dt_bind_near dt_bind_device_near(const struct dt_topology *topology,
                                        const struct dt_device *a, const struct dt_device *b);

/* What any assignment costs by the rule above: `cpus`, `accelerators` and `nics` of `ranks` as some
 * other binder has them. Used to compare. -1: no memory. */
int dt_bind_cost(const struct dt_topology *topology, struct dt_bind_rank *ranks, size_t count);

#endif
