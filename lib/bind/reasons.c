/* SPDX-License-Identifier: Apache-2.0 */
/* Why each device: how near it is, and which one would have been next. */
#include <stdlib.h>

#include "bind/internal.h"

/* All devices of one kind. */
struct view {
    const struct dt_bind_plan *plan;
    struct dt_bind_model *model;
    bool nic;
    const struct dt_device *devices;
    size_t count;
    struct dt_bind_near *near; /* to the rank at hand */
    size_t *users;             /* ranks that have the device */
    size_t *first;             /* the lowest of them */
    size_t *holder;            /* the rank at hand, plus one, where it has the device */
};

static const size_t *items_of(const struct view *view, const struct dt_bind_rank *rank,
                              size_t *count)
{
    *count = view->nic ? rank->nic_count : rank->accelerator_count;
    return view->nic ? rank->nics : rank->accelerators;
}

static bool nearer(struct dt_bind_near a, struct dt_bind_near b)
{
    if (a.distance < 0 || b.distance < 0)
        return a.distance >= 0 && b.distance < 0;
    return a.distance < b.distance;
}

/* A NIC is judged from the nearest of the rank's accelerators, else from its cores. */
static struct dt_bind_near nic_near(struct view *view, const struct dt_bind_rank *rank,
                                    const struct dt_device *nic)
{
    const struct dt_device *accelerators = view->model->topology->accelerators;
    struct dt_bind_near best = {DT_BIND_UNKNOWN, -1};

    if (rank->accelerator_count == 0)
        return dt_bind_near_cpus(view->model, nic, rank->cpus);
    for (size_t i = 0; i < rank->accelerator_count; i++) {
        struct dt_bind_near near =
            dt_bind_near_of(view->model, &accelerators[rank->accelerators[i]], nic);
        best = nearer(near, best) ? near : best;
    }
    return best;
}

static void look_at(struct view *view, size_t rank)
{
    const struct dt_bind_rank *r = &view->plan->ranks[rank];
    size_t count;
    const size_t *items = items_of(view, r, &count);

    for (size_t i = 0; i < count; i++)
        view->holder[items[i]] = rank + 1;
    for (size_t d = 0; d < view->count; d++)
        view->near[d] = view->nic ? nic_near(view, r, &view->devices[d])
                                  : dt_bind_near_cpus(view->model, &view->devices[d], r->cpus);
}

static void choose(const struct view *view, size_t rank, struct dt_bind_rank *r)
{
    size_t count, next = view->count;
    const size_t *items = items_of(view, r, &count);

    for (size_t d = 0; d < view->count; d++)
        if (view->holder[d] != rank + 1 &&
            (next == view->count || nearer(view->near[d], view->near[next])))
            next = d;
    for (size_t i = 0; i < count; i++) {
        struct dt_bind_choice *choice = &r->choices[r->choice_count++];
        *choice = (struct dt_bind_choice){.nic = view->nic,
                                          .device = items[i],
                                          .near = view->near[items[i]],
                                          .users = view->users[items[i]],
                                          .has_runner_up = next < view->count,
                                          .runner_up_rank = -1};
        if (next == view->count)
            continue;
        choice->runner_up = next;
        choice->runner_up_near = view->near[next];
        choice->runner_up_rank = view->users[next] ? (int)view->first[next] : -1;
    }
}

static int explain_kind(struct dt_bind_plan *plan, struct dt_bind_model *model, bool nic)
{
    const struct dt_topology *t = model->topology;
    struct view view = {.plan = plan,
                        .model = model,
                        .nic = nic,
                        .devices = nic ? t->nics : t->accelerators,
                        .count = nic ? t->nic_count : t->accelerator_count};
    int rc = -1;

    view.near = calloc(view.count + 1, sizeof(*view.near));
    view.users = calloc(view.count + 1, sizeof(size_t));
    view.first = calloc(view.count + 1, sizeof(size_t));
    view.holder = calloc(view.count + 1, sizeof(size_t));
    if (!view.near || !view.users || !view.first || !view.holder)
        goto out;
    for (size_t r = plan->rank_count; r-- > 0;) {
        size_t count;
        const size_t *items = items_of(&view, &plan->ranks[r], &count);
        for (size_t i = 0; i < count; i++) {
            view.users[items[i]]++;
            view.first[items[i]] = r;
        }
    }
    for (size_t r = 0; r < plan->rank_count; r++) {
        look_at(&view, r);
        choose(&view, r, &plan->ranks[r]);
    }
    rc = 0;
out:
    free(view.near);
    free(view.users);
    free(view.first);
    free(view.holder);
    return rc;
}

int dt_bind_reasons(struct dt_bind_plan *plan, struct dt_bind_model *model)
{
    for (size_t r = 0; r < plan->rank_count; r++) {
        struct dt_bind_rank *rank = &plan->ranks[r];
        rank->choices =
            calloc(rank->accelerator_count + rank->nic_count + 1, sizeof(*rank->choices));
        if (!rank->choices)
            return -1;
    }
    return explain_kind(plan, model, false) || explain_kind(plan, model, true) ? -1 : 0;
}
