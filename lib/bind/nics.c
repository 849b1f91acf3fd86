/* SPDX-License-Identifier: Apache-2.0 */
/* Giving out NICs, by group: all NICs behind one switch, or, where no switch is known, all on one
 * NUMA node. A group may serve several ranks; it is never split. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "bind/internal.h"

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

/* Whole groups at the smallest distance; every group when the place is unknown. */
static void take_nearest(bool *taken, const struct dt_bind_model *model,
                         const struct dt_device *device)
{
    const struct dt_topology *topology = model->topology;
    long long best = LLONG_MAX;

    for (int pass = 0; pass < 2; pass++) {
        for (size_t n = 0; n < topology->nic_count; n++) {
            long long d = dt_bind_near_of(model, device, &topology->nics[n]).distance;
            d = d < 0 ? LLONG_MAX : d;
            if (pass == 1 && d == best)
                take_group(taken, topology, &topology->nics[n]);
            best = d < best ? d : best;
        }
    }
}

static void take_for_cpus(bool *taken, const struct dt_bind_model *model, hwloc_const_bitmap_t cpus)
{
    hwloc_obj_t node = NULL;
    bool any = false;
    struct dt_device place = {.group = -1, .root = -1};

    while ((node = hwloc_get_next_obj_by_type(model->topology->hwloc, HWLOC_OBJ_NUMANODE, node))) {
        if (!hwloc_bitmap_intersects(node->cpuset, cpus))
            continue;
        any = true;
        place.numa = (int)node->logical_index;
        take_nearest(taken, model, &place);
    }
    place.numa = -1;
    if (!any)
        take_nearest(taken, model, &place);
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

int dt_bind_nics(struct dt_bind_plan *plan, struct dt_bind_model *model)
{
    const struct dt_topology *topology = model->topology;
    bool *taken = calloc(topology->nic_count ? topology->nic_count : 1, sizeof(bool));
    int rc = taken ? 0 : -1;

    for (size_t r = 0; r < plan->rank_count && rc == 0; r++) {
        struct dt_bind_rank *rank = &plan->ranks[r];
        memset(taken, plan->rank_count == 1, topology->nic_count * sizeof(bool));
        for (size_t i = 0; i < rank->accelerator_count; i++)
            take_nearest(taken, model, &topology->accelerators[rank->accelerators[i]]);
        if (rank->accelerator_count == 0)
            take_for_cpus(taken, model, rank->cpus);
        rc = keep_taken(rank, taken, topology->nic_count);
    }
    free(taken);
    return rc;
}
