/* SPDX-License-Identifier: Apache-2.0 */
/* What a rank's share costs, and what follows from it: cores to reserve, threads to suggest. */
#include <stdlib.h>

#include "bind/internal.h"

/* Cores on each node: weighed by how many PUs of it the rank has, siblings count once. */
static long long core_cost(struct dt_bind_model *model, const struct dt_bind_rank *rank,
                           const long long *node_cost)
{
    long long cost = 0;
    int pu;

    model->mark++;
    hwloc_bitmap_foreach_begin(pu, rank->cpus)
    {
        size_t at = (size_t)pu;
        if (at >= model->pu_count || model->core_of[at] < 0 ||
            model->seen[model->core_of[at]] == model->mark)
            continue;
        model->seen[model->core_of[at]] = model->mark;
        cost += node_cost[model->home_of[at] < 0 ? 0 : model->home_of[at]];
    }
    hwloc_bitmap_foreach_end();
    return cost;
}

long long dt_bind_rank_cost(struct dt_bind_model *model, const struct dt_bind_rank *rank)
{
    long long *node_cost = calloc(model->distances.nodes, sizeof(*node_cost)), cost;

    if (!node_cost)
        return -1;
    cost = dt_bind_pci_cost(model, rank->accelerators, rank->accelerator_count);
    if (dt_bind_node_costs(model, rank->accelerators, rank->accelerator_count, node_cost))
        cost += core_cost(model, rank, node_cost);
    free(node_cost);
    return cost;
}

int dt_bind_cost(const struct dt_topology *topology, struct dt_bind_rank *ranks, size_t count)
{
    struct dt_bind_model model;
    int rc = dt_bind_model_init(&model, topology);

    for (size_t r = 0; rc == 0 && r < count; r++) {
        ranks[r].cores = dt_bind_count_cores(&model, ranks[r].cpus);
        ranks[r].cost = dt_bind_rank_cost(&model, &ranks[r]);
        rc = ranks[r].cost < 0 ? -1 : 0;
    }
    dt_bind_model_fini(&model);
    return rc;
}

/* The last cores of the rank, in the order of their first PU; at least one stays for the program. */
static int reserve_cores(struct dt_bind_model *model, struct dt_bind_rank *rank, size_t want)
{
    size_t skip = rank->cores, first = 0;
    int pu;

    if (want >= rank->cores)
        want = rank->cores - 1;
    skip -= want;
    if (want == 0)
        return 0;
    model->mark++;
    hwloc_bitmap_foreach_begin(pu, rank->cpus)
    {
        int core = (size_t)pu < model->pu_count ? model->core_of[pu] : -1;
        /* seen[] holds mark for cores of the program, mark + 1 for reserved ones */
        bool fresh = core < 0 || model->seen[core] < model->mark;
        bool kept = fresh ? first++ < skip : model->seen[core] == model->mark;
        if (core >= 0)
            model->seen[core] = kept ? model->mark : model->mark + 1;
        if (!kept && hwloc_bitmap_set(rank->reserved, (unsigned)pu))
            return -1;
    }
    hwloc_bitmap_foreach_end();
    model->mark++;
    return 0;
}

static void suggest(struct dt_bind_model *model, struct dt_bind_rank *rank, size_t loaders)
{
    size_t left = rank->cores - dt_bind_count_cores(model, rank->reserved);

    rank->omp_threads = left > loaders ? left - loaders : 1;
    rank->loader_workers = loaders ? loaders : left / 2;
    if (rank->loader_workers == 0)
        rank->loader_workers = 1;
}

static int find_idle(struct dt_bind_plan *plan, const struct dt_bind_request *request)
{
    int rc = 0;

    for (size_t r = 0; rc == 0 && r < request->ranks; r++)
        rc = hwloc_bitmap_or(plan->idle, plan->idle, request->allowed[r]);
    for (size_t r = 0; rc == 0 && r < plan->rank_count; r++)
        rc = hwloc_bitmap_andnot(plan->idle, plan->idle, plan->ranks[r].cpus);
    return rc;
}

int dt_bind_derive(struct dt_bind_plan *plan, struct dt_bind_model *model,
                   const struct dt_bind_request *request)
{
    plan->cost = 0;
    for (size_t r = 0; r < plan->rank_count; r++) {
        struct dt_bind_rank *rank = &plan->ranks[r];
        rank->cores = dt_bind_count_cores(model, rank->cpus);
        rank->cost = dt_bind_rank_cost(model, rank);
        if (rank->cost < 0 || reserve_cores(model, rank, request->reserve))
            return -1;
        suggest(model, rank, request->loaders);
        plan->cost += rank->cost;
    }
    return find_idle(plan, request);
}
