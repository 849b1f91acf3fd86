/* SPDX-License-Identifier: Apache-2.0 */
/* The plan itself: decide between planning and standing back, give accelerators, then the cores
 * nearest to them, then memory and NICs. */
#include <stdio.h>
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
    plan->idle = hwloc_bitmap_alloc();
    if (!plan->ranks || !plan->idle)
        return -1;
    plan->rank_count = count;
    for (size_t r = 0; r < count; r++) {
        struct dt_bind_rank *rank = &plan->ranks[r];
        rank->cpus = hwloc_bitmap_alloc();
        rank->numa = hwloc_bitmap_alloc();
        rank->reserved = hwloc_bitmap_alloc();
        if (!rank->cpus || !rank->numa || !rank->reserved)
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

/* NULL: dt plans. Otherwise a malloc'd sentence in *reason, or no memory (-1). */
static int find_reason(char **reason, const struct dt_bind_request *request)
{
    *reason = NULL;
    if (request->user_bound)
        return asprintf(reason,
                        "%s bound the ranks explicitly; CPUs and memory policy are left alone",
                        request->bound_by ? request->bound_by : "the user") < 0
                   ? -1
                   : 0;
    if (masks_equal(request) || request->refine)
        return 0;
    *reason = strdup("the ranks' CPU masks differ already, so Slurm or the user bound them; CPUs "
                     "are left alone");
    return *reason ? 0 : -1;
}

/* ---- cores ----------------------------------------------------------------------------------- */

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

static int deal_cores(struct dt_bind_plan *plan, const struct dt_bind_model *model,
                      const struct dt_bind_space *space)
{
    size_t nodes = model->distances.nodes, ranks = plan->rank_count;
    long long *cost = calloc(ranks * nodes, sizeof(*cost));
    size_t *share = calloc(ranks * nodes, sizeof(*share));
    size_t *have = calloc(nodes, sizeof(*have));
    bool placed = false;
    int rc = -1;

    if (!cost || !share || !have)
        goto out;
    for (size_t r = 0; r < ranks; r++)
        placed |= dt_bind_node_costs(model, plan->ranks[r].accelerators,
                                     plan->ranks[r].accelerator_count, &cost[r * nodes]);
    if (!placed || !space->located) {
        rc = deal_in_order(plan, space);
        goto out;
    }
    for (size_t s = 0; s < space->slot_count; s++)
        have[space->core_home[space->slots[s]]]++;
    rc = dt_bind_assign(ranks, nodes, cost, have, true, share);
    if (rc == 0)
        rc = deal_shares(plan, space, share, nodes);
out:
    free(cost);
    free(share);
    free(have);
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

/* ---- the ways to plan ------------------------------------------------------------------------ */

/* The accelerators that there are to give out. */
static int make_list(struct dt_bind_list *list, size_t **all, const struct dt_bind_request *request)
{
    size_t count = request->topology->accelerator_count;

    *list = request->gpus;
    if (list->items || request->user_visible_devices)
        return 0;
    *all = calloc(count ? count : 1, sizeof(size_t));
    if (!*all)
        return -1;
    for (size_t a = 0; a < count; a++)
        (*all)[a] = a;
    *list = (struct dt_bind_list){*all, count};
    return 0;
}

static int take_own(struct dt_bind_plan *plan, const struct dt_bind_request *request)
{
    for (size_t r = 0; r < plan->rank_count; r++)
        if (dt_bind_take_accelerators(&plan->ranks[r], request->own[r].items,
                                      request->own[r].count))
            return -1;
    return 0;
}

/* All that any of the ranks may use. */
static hwloc_bitmap_t allowed_union(const struct dt_bind_request *request)
{
    hwloc_bitmap_t all = hwloc_bitmap_dup(request->allowed[0]);

    for (size_t r = 1; all && request->refine && r < request->ranks; r++) {
        if (hwloc_bitmap_or(all, all, request->allowed[r])) {
            hwloc_bitmap_free(all);
            return NULL;
        }
    }
    return all;
}

/* dt chooses the cores: accelerators first, cores near them. One rank is left all that it was
 * allowed, known to the topology or not: it may be a launcher that starts more. */
static int plan_freely(struct dt_bind_plan *plan, const struct dt_bind_request *request,
                       const struct dt_bind_model *model, const struct dt_bind_list *list)
{
    struct dt_bind_space space = {0};
    hwloc_bitmap_t all = allowed_union(request);
    int rc = -1;

    if (!all || dt_bind_space_init(&space, model, all, request->ranks))
        goto out;
    if (request->own ? take_own(plan, request) : dt_bind_accelerators(plan, model, &space, list))
        goto out;
    rc = request->ranks == 1 ? hwloc_bitmap_copy(plan->ranks[0].cpus, request->allowed[0])
                             : deal_cores(plan, model, &space);
    if (rc == 0)
        rc = plan_all_memory(plan, request->topology);
out:
    hwloc_bitmap_free(all);
    dt_bind_space_fini(&space);
    return rc;
}

/* The cores are given: memory first, then the accelerators that are nearest. */
static int plan_around_masks(struct dt_bind_plan *plan, const struct dt_bind_request *request,
                             struct dt_bind_model *model, const struct dt_bind_list *list)
{
    for (size_t r = 0; r < plan->rank_count; r++)
        if (hwloc_bitmap_copy(plan->ranks[r].cpus, request->allowed[r]))
            return -1;
    if (plan_all_memory(plan, request->topology))
        return -1;
    if (request->own ? take_own(plan, request) : dt_bind_accelerators_near(plan, model, list))
        return -1;
    for (size_t r = 0; r < plan->rank_count && request->user_bound; r++)
        hwloc_bitmap_zero(plan->ranks[r].numa);
    return 0;
}

/* What GPUs and cores dealt out in order would cost, to compare with. */
static int price_linear(struct dt_bind_plan *plan, const struct dt_bind_request *request,
                        struct dt_bind_model *model, const struct dt_bind_list *list)
{
    struct dt_bind_plan linear = {0};
    struct dt_bind_space space = {0};
    hwloc_bitmap_t all = allowed_union(request);
    size_t ranks = request->ranks;
    int rc = -1;

    if (!all || ranks_alloc(&linear, ranks) || dt_bind_space_init(&space, model, all, ranks) ||
        deal_in_order(&linear, &space))
        goto out;
    rc = 0;
    for (size_t r = 0; rc == 0 && r < ranks; r++) {
        size_t first = r * list->count / ranks, end = (r + 1) * list->count / ranks;
        if (list->count > 0 && list->count < ranks)
            end = first + 1;
        rc = request->own
                 ? dt_bind_take_accelerators(&linear.ranks[r], request->own[r].items,
                                             request->own[r].count)
                 : dt_bind_take_accelerators(&linear.ranks[r],
                                             list->count ? &list->items[first] : NULL, end - first);
        plan->linear_cost += rc ? 0 : dt_bind_rank_cost(model, &linear.ranks[r]);
    }
out:
    hwloc_bitmap_free(all);
    dt_bind_space_fini(&space);
    dt_bind_plan_fini(&linear);
    return rc;
}

static int make_plan(struct dt_bind_plan *plan, const struct dt_bind_request *request,
                     struct dt_bind_model *model, const struct dt_bind_list *list)
{
    if (plan->stand_back ? plan_around_masks(plan, request, model, list)
                         : plan_freely(plan, request, model, list))
        return -1;
    if (dt_bind_nics(plan, model) || dt_bind_derive(plan, model, request) ||
        dt_bind_reasons(plan, model))
        return -1;
    if (!plan->stand_back && request->ranks > 1 && price_linear(plan, request, model, list))
        return -1;
    plan->summary = dt_bind_summary(plan, request);
    plan->notes = dt_bind_notes(plan, model, request);
    return plan->summary && plan->notes ? 0 : -1;
}

int dt_bind_plan(struct dt_bind_plan *plan, const struct dt_bind_request *request,
                 struct dt_error *err)
{
    struct dt_bind_model model = {0};
    struct dt_bind_list list = {0};
    size_t *all = NULL;
    int rc = -1;

    memset(plan, 0, sizeof(*plan));
    plan->memory = request->memory ? request->memory : "preferred";
    if (check_request(request, err))
        return -1;
    if (dt_bind_model_init(&model, request->topology) || make_list(&list, &all, request) ||
        ranks_alloc(plan, request->ranks) || find_reason(&plan->reason, request))
        goto out;
    plan->stand_back = plan->reason != NULL;
    rc = make_plan(plan, request, &model, &list);
out:
    dt_bind_model_fini(&model);
    free(all);
    if (rc) {
        dt_bind_plan_fini(plan);
        no_memory(err);
    }
    return rc;
}

void dt_bind_plan_fini(struct dt_bind_plan *plan)
{
    for (size_t r = 0; r < plan->rank_count; r++) {
        struct dt_bind_rank *rank = &plan->ranks[r];
        hwloc_bitmap_free(rank->cpus);
        hwloc_bitmap_free(rank->numa);
        hwloc_bitmap_free(rank->reserved);
        free(rank->accelerators);
        free(rank->nics);
        free(rank->choices);
    }
    free(plan->ranks);
    hwloc_bitmap_free(plan->idle);
    free(plan->summary);
    free(plan->reason);
    free(plan->notes);
    memset(plan, 0, sizeof(*plan));
}
