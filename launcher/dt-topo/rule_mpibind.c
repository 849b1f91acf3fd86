/* SPDX-License-Identifier: Apache-2.0 */
/* mpibind's rule: NUMA nodes first, then the cores and GPUs that are in them. Written from its
 * description; numbers of the real one come from `make bench-bind` where it is installed. */
#include <stdlib.h>
#include <string.h>

#include "rules.h"

struct home {
    hwloc_obj_t node;
    size_t *gpus, gpu_count;
    size_t weight;
    size_t first, ranks; /* ranks that live here */
};

struct homes {
    struct home *items;
    size_t count;
};

static void homes_fini(struct homes *homes)
{
    for (size_t h = 0; h < homes->count; h++)
        free(homes->items[h].gpus);
    free(homes->items);
}

static void find_gpus(const struct rule_input *in, struct home *home)
{
    for (size_t g = 0; g < in->gpu_count; g++)
        if (in->topology->accelerators[in->gpus[g]].numa == (int)home->node->logical_index)
            home->gpus[home->gpu_count++] = in->gpus[g];
}

/* NUMA nodes with allowed CPUs that no node before them has: others are memory only. */
static int homes_init(struct homes *homes, const struct rule_input *in)
{
    hwloc_obj_t node = NULL;
    hwloc_bitmap_t open = hwloc_bitmap_dup(in->allowed);
    int nodes = hwloc_get_nbobjs_by_type(in->topology->hwloc, HWLOC_OBJ_NUMANODE);

    homes->count = 0;
    homes->items = calloc(nodes > 0 ? (size_t)nodes : 1, sizeof(*homes->items));
    while (open && homes->items &&
           (node = hwloc_get_next_obj_by_type(in->topology->hwloc, HWLOC_OBJ_NUMANODE, node))) {
        struct home *home = &homes->items[homes->count];
        if (!hwloc_bitmap_intersects(node->cpuset, open))
            continue;
        *home = (struct home){.node = node,
                              .gpus = calloc(in->gpu_count ? in->gpu_count : 1, sizeof(size_t))};
        homes->count++;
        if (!home->gpus)
            break;
        find_gpus(in, home);
        hwloc_bitmap_andnot(open, open, node->cpuset);
    }
    bool good = open && homes->items && homes->count > 0 && homes->items[homes->count - 1].gpus;
    hwloc_bitmap_free(open);
    return good ? 0 : -1;
}

static void give_gpus(struct dt_bind_rank *rank, const struct home *home, size_t first, size_t end)
{
    for (size_t g = first; g < end; g++)
        rank->accelerators[rank->accelerator_count++] = home->gpus[g];
}

/* Fewer ranks than nodes: whole nodes, as equal in number as can be. */
static int deal_nodes(const struct rule_input *in, const struct homes *homes,
                      struct dt_bind_rank *ranks, size_t count)
{
    size_t h = 0;

    for (size_t r = 0; r < count; r++) {
        size_t share = homes->count / count + (r < homes->count % count);
        for (size_t i = 0; i < share; i++, h++) {
            if (hwloc_bitmap_or(ranks[r].cpus, ranks[r].cpus, homes->items[h].node->cpuset))
                return -1;
            give_gpus(&ranks[r], &homes->items[h], 0, homes->items[h].gpu_count);
        }
        if (hwloc_bitmap_and(ranks[r].cpus, ranks[r].cpus, in->allowed))
            return -1;
    }
    return 0;
}

/* Largest remainder: whole parts first, what is left to the largest fractions. */
static void share_ranks(struct homes *homes, size_t count)
{
    size_t total = 0, given = 0;

    for (size_t h = 0; h < homes->count; h++)
        total += homes->items[h].weight;
    for (size_t h = 0; h < homes->count && total; h++) {
        homes->items[h].ranks = count * homes->items[h].weight / total;
        given += homes->items[h].ranks;
    }
    while (given < count) {
        size_t best = 0, best_rest = 0;
        for (size_t h = 0; h < homes->count && total; h++) {
            size_t exact = count * homes->items[h].weight;
            size_t rest =
                exact > homes->items[h].ranks * total ? exact - homes->items[h].ranks * total : 0;
            if (rest > best_rest) {
                best = h;
                best_rest = rest;
            }
        }
        homes->items[best].ranks++;
        given++;
    }
    for (size_t h = 0, first = 0; h < homes->count; first += homes->items[h++].ranks)
        homes->items[h].first = first;
}

/* The k-th of the home's allowed cores gives its first PU; -1: there is none. */
static int pu_of_core(const struct rule_input *in, const struct home *home, size_t k, bool all_pus)
{
    hwloc_obj_t core = NULL;
    hwloc_obj_type_t type = all_pus ? HWLOC_OBJ_PU : HWLOC_OBJ_CORE;

    while ((core = hwloc_get_next_obj_inside_cpuset_by_type(in->topology->hwloc, home->node->cpuset,
                                                            type, core))) {
        int pu = hwloc_bitmap_first(core->cpuset);
        while (pu >= 0 && !hwloc_bitmap_isset(in->allowed, (unsigned)pu))
            pu = hwloc_bitmap_next(core->cpuset, pu);
        if (pu >= 0 && k-- == 0)
            return pu;
    }
    return -1;
}

static int bind_in_home(const struct rule_input *in, const struct home *home,
                        struct dt_bind_rank *ranks)
{
    size_t cores = 0, pus = 0;

    while (pu_of_core(in, home, cores, false) >= 0)
        cores++;
    while (pu_of_core(in, home, pus, true) >= 0)
        pus++;
    bool smt = cores < home->ranks;
    size_t have = smt ? pus : cores;
    for (size_t i = 0; i < home->ranks && have; i++) {
        struct dt_bind_rank *rank = &ranks[home->first + i];
        size_t first = i * have / home->ranks, end = (i + 1) * have / home->ranks;
        size_t gpu = i * home->gpu_count / home->ranks;
        size_t gpu_end = (i + 1) * home->gpu_count / home->ranks;
        if (end == first)
            end = first + 1;
        for (size_t k = first; k < end; k++)
            if (hwloc_bitmap_set(rank->cpus, (unsigned)pu_of_core(in, home, k, smt)))
                return -1;
        if (gpu_end == gpu && home->gpu_count)
            gpu_end = gpu + 1;
        give_gpus(rank, home, gpu, gpu_end);
    }
    return 0;
}

static int deal_in_nodes(const struct rule_input *in, struct homes *homes,
                         struct dt_bind_rank *ranks, size_t count)
{
    int rc = 0;

    for (size_t h = 0; h < homes->count; h++) {
        struct home *home = &homes->items[h];
        home->weight = home->gpu_count;
        if (in->gpu_count == 0) {
            while (pu_of_core(in, home, home->weight, true) >= 0)
                home->weight++;
        }
    }
    share_ranks(homes, count);
    for (size_t h = 0; h < homes->count && rc == 0; h++)
        rc = bind_in_home(in, &homes->items[h], ranks);
    return rc;
}

int rule_mpibind(const struct rule_input *in, struct dt_bind_rank *ranks, size_t count)
{
    struct homes homes;
    int rc = homes_init(&homes, in);

    if (rc == 0)
        rc = count < homes.count ? deal_nodes(in, &homes, ranks, count)
                                 : deal_in_nodes(in, &homes, ranks, count);
    homes_fini(&homes);
    return rc;
}
