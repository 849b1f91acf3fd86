/* SPDX-License-Identifier: Apache-2.0 */
/* Giving out accelerators.
 *
 * With one for each rank they go in the list's order, because training programs take the device
 * with their local rank's number. Otherwise the ranks are alike, and the cheapest grouping is looked
 * for; groups are then numbered by their first accelerator, so that the order stays. */
#include <stdlib.h>
#include <string.h>

#include "bind/internal.h"

bool dt_bind_node_costs(const struct dt_bind_model *model, const size_t *accelerators, size_t count,
                        long long *cost)
{
    const struct dt_bind_distances *distances = &model->distances;
    long long known = 0;

    memset(cost, 0, distances->nodes * sizeof(*cost));
    for (size_t i = 0; i < count; i++) {
        int home = model->topology->accelerators[accelerators[i]].numa;
        if (home < 0)
            continue;
        known++;
        for (size_t n = 0; n < distances->nodes; n++)
            cost[n] += DT_BIND_UNIT * dt_bind_distance(distances, home, (int)n);
    }
    for (size_t n = 0; n < distances->nodes && known > 0; n++)
        cost[n] /= known;
    return known > 0;
}

long long dt_bind_pci_cost(const struct dt_bind_model *model, const size_t *accelerators,
                           size_t count)
{
    const struct dt_device *devices = model->topology->accelerators;
    long long cost = 0;

    for (size_t i = 0; i < count; i++) {
        cost += model->nic_near[accelerators[i]];
        for (size_t k = i + 1; k < count; k++) {
            long long d =
                dt_bind_near_of(model, &devices[accelerators[i]], &devices[accelerators[k]])
                    .distance;
            cost += d < 0 ? 0 : d;
        }
    }
    return cost;
}

int dt_bind_take_accelerators(struct dt_bind_rank *rank, const size_t *items, size_t count)
{
    free(rank->accelerators);
    rank->accelerator_count = 0;
    rank->accelerators = calloc(count ? count : 1, sizeof(size_t));
    if (!rank->accelerators)
        return -1;
    for (size_t i = 0; i < count; i++)
        rank->accelerators[i] = items[i];
    rank->accelerator_count = count;
    return 0;
}

/* More accelerators than ranks: ranks in the order of their first one. */
static int take_groups(struct dt_bind_plan *plan, const struct dt_bind_groups *groups,
                       const struct dt_bind_list *list)
{
    size_t *items = calloc(groups->count, sizeof(size_t));
    bool *done = calloc(groups->ranks, sizeof(bool));
    size_t rank = 0;
    int rc = items && done ? 0 : -1;

    for (size_t p = 0; rc == 0 && p < groups->count; p++) {
        size_t owner = groups->owner[p], count = 0;
        if (done[owner])
            continue;
        done[owner] = true;
        for (size_t k = p; k < groups->count; k++)
            if (groups->owner[k] == owner)
                items[count++] = list->items[k];
        rc = dt_bind_take_accelerators(&plan->ranks[rank++], items, count);
    }
    free(items);
    free(done);
    return rc;
}

/* Fewer: neighbours share. */
static int take_shared(struct dt_bind_plan *plan, const struct dt_bind_groups *groups,
                       const struct dt_bind_list *list)
{
    size_t rank = 0;

    for (size_t p = 0; p < groups->count; p++)
        for (size_t u = 0; u < groups->users[p]; u++)
            if (dt_bind_take_accelerators(&plan->ranks[rank++], &list->items[p], 1))
                return -1;
    return 0;
}

/* Neighbours together: what the search starts from, and what stays when nothing is cheaper. */
static void group_in_order(struct dt_bind_groups *groups)
{
    for (size_t r = 0; r < groups->ranks; r++) {
        size_t first = r * groups->count / groups->ranks;
        if (groups->count < groups->ranks)
            groups->users[first]++;
        for (size_t p = first; p < (r + 1) * groups->count / groups->ranks; p++)
            groups->owner[p] = r;
    }
}

int dt_bind_accelerators(struct dt_bind_plan *plan, const struct dt_bind_model *model,
                         const struct dt_bind_space *space, const struct dt_bind_list *list)
{
    struct dt_bind_groups groups = {.ranks = plan->rank_count, .count = list->count};
    int rc = -1;

    if (list->count == 0)
        return 0;
    groups.owner = calloc(list->count, sizeof(size_t));
    groups.users = calloc(list->count, sizeof(size_t));
    if (!groups.owner || !groups.users)
        goto out;
    group_in_order(&groups);
    if (list->count != plan->rank_count && plan->rank_count > 1 &&
        dt_bind_search(&groups, model, space, list))
        goto out;
    rc = list->count < plan->rank_count ? take_shared(plan, &groups, list)
                                        : take_groups(plan, &groups, list);
out:
    free(groups.owner);
    free(groups.users);
    return rc;
}

/* ---- around fixed cpus ----------------------------------------------------------------------- */

/* How often each accelerator is given: once, or evenly where ranks share. */
static size_t uses_of(size_t position, size_t count, size_t ranks)
{
    if (count >= ranks)
        return 1;
    return ranks / count + (position < ranks % count);
}

static int deal_near(struct dt_bind_plan *plan, const struct dt_bind_model *model,
                     const struct dt_bind_list *list, size_t *share, size_t *items)
{
    size_t nodes = model->distances.nodes;
    size_t *left = calloc(list->count, sizeof(size_t));
    int rc = left ? 0 : -1;

    for (size_t p = 0; rc == 0 && p < list->count; p++)
        left[p] = uses_of(p, list->count, plan->rank_count);
    for (size_t r = 0; rc == 0 && r < plan->rank_count; r++) {
        size_t count = 0;
        for (size_t p = 0; p < list->count; p++) {
            int numa = model->topology->accelerators[list->items[p]].numa;
            size_t home = numa < 0 ? 0 : (size_t)numa;
            if (left[p] == 0 || share[r * nodes + home] == 0)
                continue;
            left[p]--;
            share[r * nodes + home]--;
            items[count++] = list->items[p];
        }
        rc = dt_bind_take_accelerators(&plan->ranks[r], items, count);
    }
    free(left);
    return rc;
}

int dt_bind_accelerators_near(struct dt_bind_plan *plan, struct dt_bind_model *model,
                              const struct dt_bind_list *list)
{
    size_t nodes = model->distances.nodes, ranks = plan->rank_count;
    long long *cost = calloc(ranks * nodes, sizeof(*cost));
    size_t *have = calloc(nodes, sizeof(size_t)), *share = calloc(ranks * nodes, sizeof(size_t));
    size_t *items = calloc(list->count + ranks, sizeof(size_t));
    int rc = -1;

    if (!cost || !have || !share || !items)
        goto out;
    for (size_t p = 0; p < list->count; p++) {
        int home = model->topology->accelerators[list->items[p]].numa;
        have[home < 0 ? 0 : home] += uses_of(p, list->count, ranks);
    }
    for (size_t n = 0; n < nodes; n++) {
        struct dt_device somewhere = {.numa = (int)n, .group = -1, .root = -1};
        for (size_t r = 0; r < ranks; r++) {
            long long d = dt_bind_near_cpus(model, &somewhere, plan->ranks[r].cpus).distance;
            cost[r * nodes + n] = d < 0 ? 0 : d;
        }
    }
    rc = list->count == 0 ? 0 : dt_bind_assign(ranks, nodes, cost, have, true, share);
    if (rc == 0 && list->count > 0)
        rc = deal_near(plan, model, list, share, items);
out:
    free(cost);
    free(have);
    free(share);
    free(items);
    return rc;
}
