/* SPDX-License-Identifier: Apache-2.0 */
/* Equal shares at the smallest total cost: the transportation problem between ranks and NUMA nodes,
 * solved by successive shortest paths. There are few nodes, so a path is looked for among nodes
 * only: a step from node m to node n moves one unit of some rank that has a unit on m over to n, at
 * the price cost[n] - cost[m] of the rank for which that is cheapest. */
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "bind/internal.h"

#define FAR (LLONG_MAX / 4)

struct solver {
    size_t ranks, nodes;
    const long long *cost;
    size_t *share;    /* the flow */
    size_t *left;     /* units not yet given, per node */
    long long *step;  /* nodes x nodes: cheapest move */
    size_t *mover;    /* nodes x nodes: the rank that makes it */
    bool moves_known; /* step and mover fit the present shares */
    long long *dist;  /* per node: cheapest way for the rank at hand to gain a unit there */
    size_t *from;     /* per node: previous node of that way; itself at the start */
    bool *nearer;     /* per node: dist fell since ways over it were last looked at */
};

static long long cost_of(const struct solver *s, size_t rank, size_t node)
{
    return s->cost[rank * s->nodes + node];
}

/* The rank may give up a unit on node m for one elsewhere. */
static void offer_moves(struct solver *s, size_t rank, size_t m)
{
    for (size_t n = 0; n < s->nodes; n++) {
        long long price = cost_of(s, rank, n) - cost_of(s, rank, m);
        if (n != m && price < s->step[m * s->nodes + n]) {
            s->step[m * s->nodes + n] = price;
            s->mover[m * s->nodes + n] = rank;
        }
    }
}

static void find_moves(struct solver *s)
{
    if (s->moves_known)
        return;
    s->moves_known = true;
    for (size_t i = 0; i < s->nodes * s->nodes; i++)
        s->step[i] = FAR;
    /* most ranks have units on few nodes: what is not there is passed over before nodes are paired */
    for (size_t m = 0; m < s->nodes; m++)
        for (size_t r = 0; r < s->ranks; r++)
            if (s->share[r * s->nodes + m] > 0)
                offer_moves(s, r, m);
}

static void shortest_ways(struct solver *s, size_t rank)
{
    bool changed = true;

    for (size_t n = 0; n < s->nodes; n++) {
        s->dist[n] = cost_of(s, rank, n);
        s->from[n] = n;
        s->nearer[n] = true;
    }
    /* No cycle is negative while the flow is optimal, so `nodes` rounds are enough. */
    for (size_t round = 0; round < s->nodes && changed; round++) {
        changed = false;
        for (size_t m = 0; m < s->nodes; m++) {
            if (!s->nearer[m])
                continue;
            s->nearer[m] = false;
            for (size_t n = 0; n < s->nodes; n++) {
                long long step = s->step[m * s->nodes + n];
                if (step < FAR && s->dist[m] + step < s->dist[n]) {
                    s->dist[n] = s->dist[m] + step;
                    s->from[n] = m;
                    s->nearer[n] = changed = true;
                }
            }
        }
    }
}

/* The node with units left that is cheapest by `dist`; among equals one where the rank has units.
 */
static size_t cheapest_open(const struct solver *s, const long long *dist, const size_t *own)
{
    size_t best = s->nodes;

    for (size_t n = 0; n < s->nodes; n++) {
        if (s->left[n] == 0)
            continue;
        if (best == s->nodes || dist[n] < dist[best] ||
            (dist[n] == dist[best] && own[best] == 0 && own[n] > 0))
            best = n;
    }
    return best;
}

static long long cheapest_cost(const struct solver *s, size_t rank)
{
    long long best = FAR;
    for (size_t n = 0; n < s->nodes; n++)
        if (cost_of(s, rank, n) < best)
            best = cost_of(s, rank, n);
    return best;
}

/* Price of one more unit for the rank, and the node where the way to it ends. */
static long long price_of_unit(struct solver *s, size_t rank, size_t *node, bool *direct)
{
    const size_t *own = &s->share[rank * s->nodes];
    size_t open = cheapest_open(s, &s->cost[rank * s->nodes], own);

    /* A free unit on the rank's nearest node can not be beaten. */
    *node = open;
    *direct = true;
    if (cost_of(s, rank, open) == cheapest_cost(s, rank))
        return cost_of(s, rank, open);
    find_moves(s);
    shortest_ways(s, rank);
    *node = cheapest_open(s, s->dist, own);
    *direct = false;
    return s->dist[*node];
}

/* How many units the way can carry, `most` at most. */
static size_t capacity(const struct solver *s, size_t node, bool direct, size_t most)
{
    most = s->left[node] < most ? s->left[node] : most;
    while (!direct && s->from[node] != node) {
        size_t previous = s->from[node];
        size_t has = s->share[s->mover[previous * s->nodes + node] * s->nodes + previous];
        most = has < most ? has : most;
        node = previous;
    }
    return most;
}

static void take_units(struct solver *s, size_t rank, size_t node, bool direct, size_t count)
{
    s->left[node] -= count;
    s->moves_known = false;
    while (!direct && s->from[node] != node) {
        size_t previous = s->from[node];
        size_t mover = s->mover[previous * s->nodes + node];
        s->share[mover * s->nodes + previous] -= count;
        s->share[mover * s->nodes + node] += count;
        node = previous;
    }
    s->share[rank * s->nodes + node] += count;
}

/* As many at a time as one way carries: the way stays the shortest until it is full. */
static void give(struct solver *s, size_t rank, size_t need)
{
    size_t node;
    bool direct;

    while (need > 0) {
        price_of_unit(s, rank, &node, &direct);
        size_t count = capacity(s, node, direct, need);
        take_units(s, rank, node, direct, count);
        need -= count;
    }
}

/* Every rank gets the same number first. In turns of one each, what is near is shared evenly among
 * ranks that could all use it; all at once costs as much in sum, and is found faster. */
static void give_base(struct solver *s, size_t quota, bool in_turns)
{
    size_t portion = in_turns ? 1 : quota;

    for (size_t q = 0; q < quota; q += portion)
        for (size_t r = 0; r < s->ranks; r++)
            give(s, r, portion);
}

/* ... then what is left goes, one each, to the ranks for which it is cheapest. */
static void give_rest(struct solver *s, size_t rest, bool *has_extra)
{
    size_t node;
    bool direct;

    while (rest-- > 0) {
        size_t winner = s->ranks;
        long long best = FAR;
        for (size_t r = 0; r < s->ranks; r++) {
            long long price = has_extra[r] ? FAR : price_of_unit(s, r, &node, &direct);
            if (price < best) {
                best = price;
                winner = r;
            }
        }
        price_of_unit(s, winner, &node, &direct);
        take_units(s, winner, node, direct, 1);
        has_extra[winner] = true;
    }
}

int dt_bind_assign(size_t ranks, size_t nodes, const long long *cost, const size_t *have, bool even,
                   size_t *share)
{
    struct solver s = {.ranks = ranks, .nodes = nodes, .cost = cost, .share = share};
    bool *has_extra = calloc(ranks, sizeof(bool));
    size_t total = 0;
    int rc = -1;

    s.left = calloc(nodes, sizeof(size_t));
    s.step = calloc(nodes * nodes, sizeof(long long));
    s.mover = calloc(nodes * nodes, sizeof(size_t));
    s.dist = calloc(nodes, sizeof(long long));
    s.from = calloc(nodes, sizeof(size_t));
    s.nearer = calloc(nodes, sizeof(bool));
    if (!has_extra || !s.left || !s.step || !s.mover || !s.dist || !s.from || !s.nearer)
        goto out;
    memset(share, 0, ranks * nodes * sizeof(size_t));
    for (size_t n = 0; n < nodes; n++) {
        s.left[n] = have[n];
        total += have[n];
    }
    give_base(&s, total / ranks, even);
    give_rest(&s, total % ranks, has_extra);
    rc = 0;
out:
    free(has_extra);
    free(s.left);
    free(s.step);
    free(s.mover);
    free(s.dist);
    free(s.from);
    free(s.nearer);
    return rc;
}
