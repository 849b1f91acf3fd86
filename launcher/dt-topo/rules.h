/* SPDX-License-Identifier: Apache-2.0 */
/* How others would bind the same ranks: their rules, as documented, written anew on dt's model. Each
 * fills cpus and accelerators of `count` ranks, which come with empty sets and empty lists that have
 * room for all accelerators. -1: no memory. */
#ifndef DT_TOPO_RULES_H
#define DT_TOPO_RULES_H

#include "bind/bind.h"

struct rule_input {
    const struct dt_topology *topology;
    hwloc_const_bitmap_t allowed;
    const size_t *gpus; /* indices of those that the job has */
    size_t gpu_count;
};

/* mpibind 0.15's default: memory first. With fewer ranks than NUMA nodes the nodes are dealt out,
 * with all of their PUs; else ranks go to nodes by the number of GPUs there (of PUs where there are
 * none), and in a node each takes one PU of each of its cores, and its part of the node's GPUs. */
int rule_mpibind(const struct rule_input *in, struct dt_bind_rank *ranks, size_t count);

/* srun without options: sockets, cores or PUs where there are just as many as ranks, else no binding;
 * every rank sees all GPUs, and programs take the one with their local rank's number. */
int rule_slurm(const struct rule_input *in, struct dt_bind_rank *ranks, size_t count);

/* The habit of launch scripts: CPU numbers cut into equal runs, GPUs by local rank. */
int rule_linear(const struct rule_input *in, struct dt_bind_rank *ranks, size_t count);

#endif
