/* SPDX-License-Identifier: Apache-2.0 */
/* The plan itself: decide between planning and standing back, give accelerators, then the cores
 * nearest to them, then memory and NICs. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "bind/internal.h"

static int no_memory(struct dt_error *err)
{
    return dt_error_set(err, "no memory left for the binding plan");
}

static int check_request(const struct dt_bind_request *request, struct dt_error *err)
{
    if (request->ranks == 0)
        return dt_error_set(err, "there is no rank to bind on this node");
    for (size_t r = 0; r < request->ranks; r++)
        if (!request->allowed[r] || hwloc_bitmap_weight(request->allowed[r]) <= 0)
            return dt_error_set(err,
                                "local rank %zu has no or an unbounded set of CPUs as its mask; "
                                "binding is left as Slurm made it",
                                r);
    return 0;
}

static int ranks_alloc(struct dt_bind_plan *plan, size_t count)
{
    plan->ranks = calloc(count, sizeof(*plan->ranks));
    if (!plan->ranks)
        return -1;
    plan->rank_count = count;
    for (size_t r = 0; r < count; r++) {
        plan->ranks[r].cpus = hwloc_bitmap_alloc();
        plan->ranks[r].numa = hwloc_bitmap_alloc();
        if (!plan->ranks[r].cpus || !plan->ranks[r].numa)
            return -1;
    }
    return 0;
}

static bool masks_equal(const struct dt_bind_request *request)
{
    for (size_t r = 1; r < request->ranks; r++)
        if (!hwloc_bitmap_isequal(request->allowed[0], request->allowed[r]))
            return false;
    return true;
}

static const char *reason_to_stand_back(const struct dt_bind_request *request)
{
    if (request->user_bound)
        return "the user bound the ranks explicitly; CPUs and memory policy are left alone";
    if (!masks_equal(request))
        return "the ranks' CPU masks differ already, so Slurm or the user bound them; CPUs are "
               "left "
               "alone";
    return NULL;
}

/* ---- cores ----------------------------------------------------------------------------------- */

/* Mean distance of a rank's accelerators to each node, in thousandths. False: it has no place. */
static bool rank_costs(const struct dt_bind_rank *rank, const struct dt_topology *topology,
                       const struct dt_bind_distances *distances, long long *cost)
{
    long long known = 0;

    memset(cost, 0, distances->nodes * sizeof(*cost));
    for (size_t i = 0; i < rank->accelerator_count; i++) {
        int home = topology->accelerators[rank->accelerators[i]].numa;
        if (home < 0)
            continue;
        known++;
        for (size_t n = 0; n < distances->nodes; n++)
            cost[n] += 1000 * dt_bind_distance(distances, home, (int)n);
    }
    for (size_t n = 0; n < distances->nodes && known > 0; n++)
        cost[n] /= known;
    return known > 0;
}

static int give_slot(struct dt_bind_rank *rank, const struct dt_bind_space *space, size_t slot)
{
    return hwloc_bitmap_or(rank->cpus, rank->cpus, space->cores[space->slots[slot]]);
}

/* Nothing says which cores suit which rank: neighbours stay together. */
static int deal_in_order(struct dt_bind_plan *plan, const struct dt_bind_space *space)
{
    for (size_t r = 0; r < plan->rank_count; r++) {
        size_t end = (r + 1) * space->slot_count / plan->rank_count;
        for (size_t s = r * space->slot_count / plan->rank_count; s < end; s++)
            if (give_slot(&plan->ranks[r], space, s))
                return -1;
    }
    return 0;
}

/* Within each node the ranks take neighbouring cores, in rank order. */
static int deal_shares(struct dt_bind_plan *plan, const struct dt_bind_space *space, size_t *share,
                       size_t nodes)
{
    for (size_t s = 0; s < space->slot_count; s++) {
        size_t home = (size_t)space->core_home[space->slots[s]], r = 0;
        while (r < plan->rank_count && share[r * nodes + home] == 0)
            r++;
        if (r == plan->rank_count)
            return -1; /* can not be: the shares add up to the slots */
        share[r * nodes + home]--;
        if (give_slot(&plan->ranks[r], space, s))
            return -1;
    }
    return 0;
}

static int deal_cores(struct dt_bind_plan *plan, const struct dt_topology *topology,
                      const struct dt_bind_distances *distances, const struct dt_bind_space *space)
{
    size_t nodes = distances->nodes, ranks = plan->rank_count;
    long long *cost = calloc(ranks * nodes, sizeof(*cost));
    size_t *share = calloc(ranks * nodes, sizeof(*share));
    size_t *have = calloc(nodes, sizeof(*have));
    bool placed = false;
    int rc = -1;

    if (!cost || !share || !have)
        goto out;
    for (size_t r = 0; r < ranks; r++)
        placed |= rank_costs(&plan->ranks[r], topology, distances, &cost[r * nodes]);
    if (!placed || !space->located) {
        rc = deal_in_order(plan, space);
        goto out;
    }
    for (size_t s = 0; s < space->slot_count; s++)
        have[space->core_home[space->slots[s]]]++;
    rc = dt_bind_assign(ranks, nodes, cost, have, share);
    if (rc == 0)
        rc = deal_shares(plan, space, share, nodes);
out:
    free(cost);
    free(share);
    free(have);
    return rc;
}

static int plan_cores(struct dt_bind_plan *plan, const struct dt_bind_request *request,
                      const struct dt_bind_distances *distances)
{
    struct dt_bind_space space;
    int rc = -1;

    /* One rank is left all that it was allowed, known to the topology or not: it may be a launcher
     * that starts more. */
    if (request->ranks == 1)
        return hwloc_bitmap_copy(plan->ranks[0].cpus, request->allowed[0]);
    if (dt_bind_space_init(&space, request->topology->hwloc, request->allowed[0], request->ranks) ==
        0)
        rc = deal_cores(plan, request->topology, distances, &space);
    dt_bind_space_fini(&space);
    return rc;
}

/* ---- memory ---------------------------------------------------------------------------------- */

static bool any_memory_known(hwloc_topology_t hwloc)
{
    hwloc_obj_t node = NULL;

    while ((node = hwloc_get_next_obj_by_type(hwloc, HWLOC_OBJ_NUMANODE, node)))
        if (node->attr->numanode.local_memory > 0)
            return true;
    return false;
}

/* The first node of each PU is its ordinary memory; nodes that are known to be empty do not count.
 */
static int plan_memory(struct dt_bind_rank *rank, hwloc_topology_t hwloc)
{
    bool sizes_known = any_memory_known(hwloc);
    hwloc_obj_t node = NULL;
    hwloc_bitmap_t open = hwloc_bitmap_dup(rank->cpus);
    int rc = open ? 0 : -1;

    while (rc == 0 && (node = hwloc_get_next_obj_by_type(hwloc, HWLOC_OBJ_NUMANODE, node))) {
        if (!hwloc_bitmap_intersects(node->cpuset, open) ||
            (sizes_known && node->attr->numanode.local_memory == 0))
            continue;
        rc = hwloc_bitmap_set(rank->numa, node->os_index);
        if (rc == 0)
            rc = hwloc_bitmap_andnot(open, open, node->cpuset);
    }
    hwloc_bitmap_free(open);
    return rc;
}

static int plan_all_memory(struct dt_bind_plan *plan, const struct dt_topology *topology)
{
    for (size_t r = 0; r < plan->rank_count; r++)
        if (plan_memory(&plan->ranks[r], topology->hwloc))
            return -1;
    return 0;
}

/* ---- both ways ------------------------------------------------------------------------------- */

/* dt chooses the cores: accelerators first, cores near them. */
static int plan_freely(struct dt_bind_plan *plan, const struct dt_bind_request *request,
                       const struct dt_bind_distances *distances)
{
    if (!request->user_visible_devices &&
        dt_bind_accelerators(plan, request->topology, distances, false))
        return -1;
    if (plan_cores(plan, request, distances))
        return -1;
    return plan_all_memory(plan, request->topology);
}

/* The cores are given: memory first, then the accelerators that are nearest. */
static int plan_around_masks(struct dt_bind_plan *plan, const struct dt_bind_request *request,
                             const struct dt_bind_distances *distances)
{
    for (size_t r = 0; r < plan->rank_count; r++)
        if (hwloc_bitmap_copy(plan->ranks[r].cpus, request->allowed[r]))
            return -1;
    if (plan_all_memory(plan, request->topology))
        return -1;
    if (!request->user_visible_devices &&
        dt_bind_accelerators(plan, request->topology, distances, true))
        return -1;
    for (size_t r = 0; r < plan->rank_count && request->user_bound; r++)
        hwloc_bitmap_zero(plan->ranks[r].numa);
    return 0;
}

int dt_bind_plan(struct dt_bind_plan *plan, const struct dt_bind_request *request,
                 struct dt_error *err)
{
    struct dt_bind_distances distances = {0};
    const char *reason;
    int rc = -1;

    memset(plan, 0, sizeof(*plan));
    plan->memory = request->memory ? request->memory : "preferred";
    if (check_request(request, err))
        return -1;
    if (dt_bind_distances_init(&distances, request->topology->hwloc) ||
        ranks_alloc(plan, request->ranks))
        goto out;
    reason = reason_to_stand_back(request);
    plan->stand_back = reason != NULL;
    if (reason && !(plan->reason = strdup(reason)))
        goto out;
    if (reason ? plan_around_masks(plan, request, &distances)
               : plan_freely(plan, request, &distances))
        goto out;
    if (dt_bind_nics(plan, request->topology, &distances))
        goto out;
    plan->summary = dt_bind_summary(plan, request);
    rc = plan->summary ? 0 : -1;
out:
    dt_bind_distances_fini(&distances);
    if (rc) {
        dt_bind_plan_fini(plan);
        no_memory(err);
    }
    return rc;
}

void dt_bind_plan_fini(struct dt_bind_plan *plan)
{
    for (size_t r = 0; r < plan->rank_count; r++) {
        hwloc_bitmap_free(plan->ranks[r].cpus);
        hwloc_bitmap_free(plan->ranks[r].numa);
        free(plan->ranks[r].accelerators);
        free(plan->ranks[r].nics);
    }
    free(plan->ranks);
    free(plan->summary);
    free(plan->reason);
    memset(plan, 0, sizeof(*plan));
}
