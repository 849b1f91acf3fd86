/* SPDX-License-Identifier: Apache-2.0 */
/* The cheapest grouping of accelerators.
 *
 * Where a rank gets several, every way to part them is tried in order, accelerators that stand at
 * one place being alike, and a way is given up as soon as it can not become cheaper than the best so
 * far; on machines whose order is sensible the first way meets the bound and nothing is tried. Where
 * ranks share, only the question is left which accelerators get one rank more. Tries are counted,
 * not timed, so that the plan depends on nothing but its input. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "bind/internal.h"

#define EFFORT_MAX 4000000 /* rough steps of all tries together: a few milliseconds */

struct search {
    const struct dt_bind_model *model;
    const struct dt_bind_list *list;
    size_t ranks, count, nodes;
    size_t quota;         /* slots that every rank gets */
    long long slot_least; /* what a slot costs at least */
    long long tries_left;
    long long best; /* cost of the best way so far */
    size_t *best_owner;
    size_t *have;    /* slots per node */
    size_t *share;   /* scratch of the assignment */
    long long *cost; /* ranks x nodes */
    size_t *kind;    /* per position: lowest position at the same place */
    size_t *owner;   /* of the way at hand; SIZE_MAX: not given */
    size_t *items;   /* ranks x count: accelerators of each rank */
    size_t *filled;  /* per rank */
};

static bool alike(const struct search *s, size_t a, size_t b)
{
    const struct dt_device *x = &s->model->topology->accelerators[s->list->items[a]];
    const struct dt_device *y = &s->model->topology->accelerators[s->list->items[b]];

    return x->numa == y->numa && x->group == y->group && x->root == y->root &&
           s->model->nic_near[s->list->items[a]] == s->model->nic_near[s->list->items[b]];
}

/* Cores of all ranks, given their node costs. */
static long long cost_of_cores(struct search *s)
{
    long long sum = 0;

    if (dt_bind_assign(s->ranks, s->nodes, s->cost, s->have, false, s->share))
        return LLONG_MAX;
    for (size_t i = 0; i < s->ranks * s->nodes; i++)
        sum += (long long)s->share[i] * s->cost[i];
    return sum;
}

/* Least that the cores of a rank can cost. */
static long long least_for_rank(const struct search *s, size_t rank)
{
    const long long *cost = &s->cost[rank * s->nodes];
    long long least = LLONG_MAX;

    for (size_t n = 0; n < s->nodes; n++)
        if (s->have[n] > 0 && cost[n] < least)
            least = cost[n];
    return (long long)s->quota * least;
}

static void price_rank(struct search *s, size_t rank, long long *pci)
{
    const size_t *items = &s->items[rank * s->count];

    dt_bind_node_costs(s->model, items, s->filled[rank], &s->cost[rank * s->nodes]);
    *pci = dt_bind_pci_cost(s->model, items, s->filled[rank]);
}

/* ---- more accelerators than ranks ------------------------------------------------------------ */

static int part(struct search *s, size_t rank, long long so_far, long long pci);

/* All ranks have theirs. */
static int finish(struct search *s, long long pci)
{
    s->tries_left--;
    long long cores = cost_of_cores(s);
    if (cores == LLONG_MAX)
        return -1;
    if (cores + pci < s->best) {
        s->best = cores + pci;
        memcpy(s->best_owner, s->owner, s->count * sizeof(size_t));
    }
    return 0;
}

/* Give `need` more accelerators, from position `from` on, to the rank. */
static int fill(struct search *s, size_t rank, size_t from, size_t need, long long so_far,
                long long pci)
{
    if (need == 0) {
        long long own;
        price_rank(s, rank, &own);
        return part(s, rank + 1, so_far + least_for_rank(s, rank), pci + own);
    }
    for (size_t p = from; p < s->count && s->tries_left > 0; p++) {
        bool again = false; /* another of its kind, free and earlier, was tried in this place */
        for (size_t k = s->kind[p]; k < p && !again; k++)
            again = s->kind[k] == s->kind[p] && s->owner[k] == SIZE_MAX;
        if (s->owner[p] != SIZE_MAX || again)
            continue;
        s->owner[p] = rank;
        s->items[rank * s->count + s->filled[rank]++] = s->list->items[p];
        int rc = fill(s, rank, p + 1, need - 1, so_far, pci);
        s->filled[rank]--;
        s->owner[p] = SIZE_MAX;
        if (rc)
            return -1;
    }
    return 0;
}

/* Ranks from `rank` on: each begins with the first accelerator that is left, so that no way is tried
 * twice under other numbers. It may have one more than the others as long as there are some. */
static int part(struct search *s, size_t rank, long long so_far, long long pci)
{
    size_t first = 0, used = 0, base = s->count / s->ranks;
    long long rest_least = (long long)(s->ranks - rank) * (long long)s->quota * s->slot_least;

    if (so_far + pci + rest_least >= s->best || s->tries_left <= 0)
        return 0;
    s->tries_left--;
    if (rank == s->ranks)
        return finish(s, pci);
    for (size_t r = 0; r < rank; r++)
        used += s->filled[r];
    while (s->owner[first] != SIZE_MAX)
        first++;
    size_t extras = s->count - used - base * (s->ranks - rank);
    for (int extra = extras == s->ranks - rank; extra <= (extras > 0); extra++) {
        s->owner[first] = rank;
        s->items[rank * s->count] = s->list->items[first];
        s->filled[rank] = 1;
        int rc = fill(s, rank, first + 1, base + (size_t)extra - 1, so_far, pci);
        s->filled[rank] = 0;
        s->owner[first] = SIZE_MAX;
        if (rc)
            return -1;
    }
    return 0;
}

/* The way that there is. */
static int price_present(struct search *s, const struct dt_bind_groups *groups)
{
    long long pci = 0, own;

    memset(s->filled, 0, s->ranks * sizeof(size_t));
    for (size_t p = 0; p < s->count; p++) {
        size_t rank = groups->owner[p];
        s->items[rank * s->count + s->filled[rank]++] = s->list->items[p];
    }
    for (size_t r = 0; r < s->ranks; r++) {
        price_rank(s, r, &own);
        pci += own;
    }
    memcpy(s->owner, groups->owner, s->count * sizeof(size_t));
    return finish(s, pci);
}

/* Two accelerators of different ranks change places as long as that is cheaper: for more ranks than
 * can be searched through. */
static int exchange(struct search *s, struct dt_bind_groups *groups)
{
    bool better = true;

    while (better && s->tries_left > 0) {
        better = false;
        for (size_t a = 0; a < s->count && !better; a++) {
            for (size_t b = a + 1; b < s->count && !better && s->tries_left > 0; b++) {
                long long before = s->best;
                size_t keep = groups->owner[a];
                if (s->kind[a] == s->kind[b] || keep == groups->owner[b])
                    continue;
                groups->owner[a] = groups->owner[b];
                groups->owner[b] = keep;
                if (price_present(s, groups))
                    return -1;
                better = s->best < before;
                if (!better) {
                    groups->owner[b] = groups->owner[a];
                    groups->owner[a] = keep;
                }
            }
        }
    }
    return 0;
}

static int search_groups(struct search *s, struct dt_bind_groups *groups)
{
    if (price_present(s, groups))
        return -1;
    memset(s->filled, 0, s->ranks * sizeof(size_t));
    memset(s->owner, 0xff, s->count * sizeof(size_t));
    int rc = s->ranks <= 8 ? part(s, 0, 0, 0) : 0;
    memcpy(groups->owner, s->best_owner, s->count * sizeof(size_t));
    if (rc == 0 && (s->ranks > 8 || s->tries_left <= 0)) {
        s->tries_left = s->ranks > 8 ? s->tries_left : (long long)(s->count * s->count);
        rc = exchange(s, groups);
    }
    memcpy(groups->owner, s->best_owner, s->count * sizeof(size_t));
    return rc;
}

/* ---- fewer accelerators than ranks ----------------------------------------------------------- */

static long long price_users(struct search *s, const struct dt_bind_groups *groups)
{
    size_t rank = 0;
    long long pci = 0, cores;

    for (size_t p = 0; p < s->count; p++) {
        for (size_t u = 0; u < groups->users[p]; u++, rank++) {
            dt_bind_node_costs(s->model, &s->list->items[p], 1, &s->cost[rank * s->nodes]);
            pci += dt_bind_pci_cost(s->model, &s->list->items[p], 1);
        }
    }
    s->tries_left--;
    cores = cost_of_cores(s);
    return cores == LLONG_MAX ? -1 : cores + pci;
}

static bool lucky(const struct search *s, const struct dt_bind_groups *groups, size_t position)
{
    return groups->users[position] > s->ranks / s->count;
}

/* One rank more or less moves between two accelerators as long as that is cheaper. Extra ranks cost
 * on their own and by the cores that they take from others, so moving one at a time gets to the
 * cheapest way (exhaustively checked in the tests). */
static int search_users(struct search *s, struct dt_bind_groups *groups)
{
    bool better = groups->ranks % groups->count != 0;

    s->best = price_users(s, groups);
    while (better && s->best >= 0 && s->tries_left > 0) {
        better = false;
        for (size_t a = 0; a < s->count && !better; a++) {
            for (size_t b = 0; b < s->count && !better && s->tries_left > 0; b++) {
                if (!lucky(s, groups, a) || lucky(s, groups, b) || s->kind[a] == s->kind[b])
                    continue;
                groups->users[a]--;
                groups->users[b]++;
                long long cost = price_users(s, groups);
                if (cost < 0)
                    return -1;
                better = cost < s->best;
                s->best = better ? cost : s->best;
                groups->users[a] += !better;
                groups->users[b] -= !better;
            }
        }
    }
    return s->best < 0 ? -1 : 0;
}

/* ---- both ------------------------------------------------------------------------------------ */

static void fini(struct search *s)
{
    free(s->best_owner);
    free(s->have);
    free(s->share);
    free(s->cost);
    free(s->kind);
    free(s->owner);
    free(s->items);
    free(s->filled);
}

/* What a core costs at least: the nearest that an accelerator of the list has to any core. */
static long long least_slot(const struct search *s)
{
    long long least = LLONG_MAX;

    for (size_t p = 0; p < s->count; p++) {
        int home = s->model->topology->accelerators[s->list->items[p]].numa;
        for (size_t n = 0; n < s->nodes; n++) {
            long long d = home < 0 ? 0 : dt_bind_distance(&s->model->distances, home, (int)n);
            least = (s->have[n] > 0 || home < 0) && d < least ? d : least;
        }
    }
    return least == LLONG_MAX ? 0 : DT_BIND_UNIT * least;
}

static int init(struct search *s, const struct dt_bind_space *space)
{
    /* of one assignment */
    size_t steps = 2 * s->ranks * (s->nodes * (s->nodes + s->ranks) + s->ranks);

    s->best_owner = calloc(s->count, sizeof(size_t));
    s->have = calloc(s->nodes, sizeof(size_t));
    s->share = calloc(s->ranks * s->nodes, sizeof(size_t));
    s->cost = calloc(s->ranks * s->nodes, sizeof(long long));
    s->kind = calloc(s->count, sizeof(size_t));
    s->owner = calloc(s->count, sizeof(size_t));
    s->items = calloc(s->ranks * s->count, sizeof(size_t));
    s->filled = calloc(s->ranks, sizeof(size_t));
    if (!s->best_owner || !s->have || !s->share || !s->cost || !s->kind || !s->owner || !s->items ||
        !s->filled)
        return -1;
    for (size_t i = 0; i < space->slot_count; i++)
        s->have[space->core_home[space->slots[i]]]++;
    for (size_t p = 0; p < s->count; p++)
        while (!alike(s, s->kind[p], p))
            s->kind[p]++;
    s->quota = space->slot_count / s->ranks;
    s->slot_least = least_slot(s);
    s->best = LLONG_MAX;
    s->tries_left = EFFORT_MAX / (long long)(steps + 1);
    if (s->tries_left > DT_BIND_EFFORT)
        s->tries_left = DT_BIND_EFFORT;
    return 0;
}

int dt_bind_search(struct dt_bind_groups *groups, const struct dt_bind_model *model,
                   const struct dt_bind_space *space, const struct dt_bind_list *list)
{
    struct search s = {.model = model,
                       .list = list,
                       .ranks = groups->ranks,
                       .count = groups->count,
                       .nodes = model->distances.nodes};
    int rc = init(&s, space);

    if (rc == 0 && groups->count > groups->ranks)
        rc = search_groups(&s, groups);
    else if (rc == 0)
        rc = search_users(&s, groups);
    fini(&s);
    return rc;
}
