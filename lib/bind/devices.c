/* SPDX-License-Identifier: Apache-2.0 */
/* Giving out accelerators and NICs.
 *
 * Accelerators go in PCI order, because training programs take the GPU with their local rank's
 * number. NICs go by group: all NICs below one switch, or, where no switch is known, all on one
 * NUMA node. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "bind/internal.h"

static int give_chunk(struct dt_bind_rank *rank, size_t first, size_t count)
{
    rank->accelerators = calloc(count ? count : 1, sizeof(size_t));
    if (!rank->accelerators)
        return -1;
    for (size_t i = 0; i < count; i++)
        rank->accelerators[i] = first + i;
    rank->accelerator_count = count;
    return 0;
}

/* How far the accelerators of `owner` are from the cpus of `rank`: mean over its NUMA nodes. */
static long long chunk_cost(const struct dt_bind_plan *plan, const struct dt_topology *topology,
                            const struct dt_bind_distances *distances, size_t owner, size_t rank)
{
    const struct dt_bind_rank *from = &plan->ranks[owner];
    hwloc_const_bitmap_t numa = plan->ranks[rank].numa;
    int weight = hwloc_bitmap_weight(numa), os;
    long long sum = 0;

    if (weight <= 0)
        return 0;
    for (size_t i = 0; i < from->accelerator_count; i++) {
        int home = topology->accelerators[from->accelerators[i]].numa;
        if (home < 0)
            continue;
        hwloc_bitmap_foreach_begin(os, numa) hwloc_obj_t node =
            hwloc_get_numanode_obj_by_os_index(topology->hwloc, (unsigned)os);
        if (node)
            sum += 1000 * dt_bind_distance(distances, home, (int)node->logical_index) / weight;
        hwloc_bitmap_foreach_end();
    }
    return sum;
}

static void swap_chunks(struct dt_bind_rank *a, struct dt_bind_rank *b)
{
    struct dt_bind_rank keep = *a;

    a->accelerators = b->accelerators;
    a->accelerator_count = b->accelerator_count;
    b->accelerators = keep.accelerators;
    b->accelerator_count = keep.accelerator_count;
}

/* Masks are as found: exchange chunks while an exchange makes the sum smaller. Each exchange lowers
 * the sum, so this ends; equal sums leave PCI order alone. */
static void move_chunks_near(struct dt_bind_plan *plan, const struct dt_topology *topology,
                             const struct dt_bind_distances *distances)
{
    bool changed = true;

    for (size_t round = 0; round < plan->rank_count && changed; round++) {
        changed = false;
        for (size_t a = 0; a < plan->rank_count; a++) {
            for (size_t b = a + 1; b < plan->rank_count; b++) {
                long long now = chunk_cost(plan, topology, distances, a, a) +
                                chunk_cost(plan, topology, distances, b, b);
                long long then = chunk_cost(plan, topology, distances, a, b) +
                                 chunk_cost(plan, topology, distances, b, a);
                if (then < now) {
                    swap_chunks(&plan->ranks[a], &plan->ranks[b]);
                    changed = true;
                }
            }
        }
    }
}

int dt_bind_accelerators(struct dt_bind_plan *plan, const struct dt_topology *topology,
                         const struct dt_bind_distances *distances, bool masks_fixed)
{
    size_t count = topology->accelerator_count, ranks = plan->rank_count;

    for (size_t r = 0; r < ranks; r++) {
        size_t first = r * count / ranks, end = (r + 1) * count / ranks;
        if (count > 0 && count < ranks)
            end = first + 1; /* ranks share: as many to each accelerator, give or take one */
        if (give_chunk(&plan->ranks[r], first, end - first))
            return -1;
    }
    if (masks_fixed && count > 0)
        move_chunks_near(plan, topology, distances);
    return 0;
}

/* ---- NICs ------------------------------------------------------------------------------------ */

static bool same_nic_group(const struct dt_device *a, const struct dt_device *b)
{
    return a->group == b->group && (a->group >= 0 || a->numa == b->numa);
}

static void take_group(bool *taken, const struct dt_topology *topology,
                       const struct dt_device *like)
{
    for (size_t n = 0; n < topology->nic_count; n++)
        if (same_nic_group(&topology->nics[n], like))
            taken[n] = true;
}

/* Whole groups at the smallest distance from a NUMA node; every group when the place is unknown. */
static void take_nearest(bool *taken, const struct dt_topology *topology,
                         const struct dt_bind_distances *distances, int home)
{
    long long best = LLONG_MAX;

    for (size_t n = 0; n < topology->nic_count; n++) {
        long long d = dt_bind_distance(distances, home, topology->nics[n].numa);
        if (d < best)
            best = d;
    }
    for (size_t n = 0; n < topology->nic_count; n++)
        if (dt_bind_distance(distances, home, topology->nics[n].numa) == best)
            take_group(taken, topology, &topology->nics[n]);
}

static void take_for_accelerator(bool *taken, const struct dt_topology *topology,
                                 const struct dt_bind_distances *distances,
                                 const struct dt_device *accelerator)
{
    bool found = false;

    for (size_t n = 0; accelerator->group >= 0 && n < topology->nic_count; n++)
        if (topology->nics[n].group == accelerator->group)
            taken[n] = found = true;
    if (!found)
        take_nearest(taken, topology, distances, accelerator->numa);
}

static void take_for_cpus(bool *taken, const struct dt_topology *topology,
                          const struct dt_bind_distances *distances, hwloc_const_bitmap_t cpus)
{
    hwloc_obj_t node = NULL;
    bool any = false;

    while ((node = hwloc_get_next_obj_by_type(topology->hwloc, HWLOC_OBJ_NUMANODE, node))) {
        if (!hwloc_bitmap_intersects(node->cpuset, cpus))
            continue;
        any = true;
        take_nearest(taken, topology, distances, (int)node->logical_index);
    }
    if (!any)
        take_nearest(taken, topology, distances, -1);
}

static int keep_taken(struct dt_bind_rank *rank, const bool *taken, size_t count)
{
    rank->nics = calloc(count ? count : 1, sizeof(size_t));
    if (!rank->nics)
        return -1;
    for (size_t n = 0; n < count; n++)
        if (taken[n])
            rank->nics[rank->nic_count++] = n;
    return 0;
}

int dt_bind_nics(struct dt_bind_plan *plan, const struct dt_topology *topology,
                 const struct dt_bind_distances *distances)
{
    bool *taken = calloc(topology->nic_count ? topology->nic_count : 1, sizeof(bool));
    int rc = taken ? 0 : -1;

    for (size_t r = 0; r < plan->rank_count && rc == 0; r++) {
        struct dt_bind_rank *rank = &plan->ranks[r];
        memset(taken, plan->rank_count == 1, topology->nic_count * sizeof(bool));
        for (size_t i = 0; i < rank->accelerator_count; i++)
            take_for_accelerator(taken, topology, distances,
                                 &topology->accelerators[rank->accelerators[i]]);
        if (rank->accelerator_count == 0)
            take_for_cpus(taken, topology, distances, rank->cpus);
        rc = keep_taken(rank, taken, topology->nic_count);
    }
    free(taken);
    return rc;
}
