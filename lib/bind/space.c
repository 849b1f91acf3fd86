/* SPDX-License-Identifier: Apache-2.0 */
/* The cores that there are to give out, and where each one lives. */
#include <stdlib.h>
#include <string.h>

#include "bind/internal.h"

static int add_core(struct dt_bind_space *space, unsigned pu, int home)
{
    hwloc_bitmap_t core = hwloc_bitmap_alloc();

    if (!core || hwloc_bitmap_set(core, pu)) {
        hwloc_bitmap_free(core);
        return -1;
    }
    space->core_home[space->core_count] = home < 0 ? 0 : home;
    space->cores[space->core_count++] = core;
    return 0;
}

/* PUs come in the topology's order, so that the siblings of a core follow each other. */
static int collect_cores(struct dt_bind_space *space, const struct dt_bind_model *model,
                         hwloc_const_bitmap_t allowed)
{
    hwloc_topology_t hwloc = model->topology->hwloc;
    int previous = -1;

    for (hwloc_obj_t pu = hwloc_get_obj_by_type(hwloc, HWLOC_OBJ_PU, 0); pu; pu = pu->next_cousin) {
        int core = model->core_of[pu->os_index];
        if (!hwloc_bitmap_isset(allowed, pu->os_index))
            continue;
        if (core == previous) {
            if (hwloc_bitmap_set(space->cores[space->core_count - 1], pu->os_index))
                return -1;
        } else if (add_core(space, pu->os_index, model->home_of[pu->os_index])) {
            return -1;
        }
        previous = core;
    }
    space->located = space->core_count > 0;
    return 0;
}

/* The topology knows none of the allowed PUs: each is a core of its own, of no known place. */
static int collect_unknown(struct dt_bind_space *space, hwloc_const_bitmap_t allowed)
{
    int pu;

    hwloc_bitmap_foreach_begin(pu, allowed) if (add_core(space, (unsigned)pu, 0)) return -1;
    hwloc_bitmap_foreach_end();
    return 0;
}

static int deal_slots(struct dt_bind_space *space, size_t ranks)
{
    size_t count = space->core_count;

    space->slot_count = count > ranks ? count : ranks;
    space->slots = calloc(space->slot_count, sizeof(*space->slots));
    if (!space->slots)
        return -1;
    for (size_t i = 0; i < space->slot_count; i++)
        space->slots[i] = count >= ranks ? i : i * count / ranks;
    return 0;
}

int dt_bind_space_init(struct dt_bind_space *space, const struct dt_bind_model *model,
                       hwloc_const_bitmap_t allowed, size_t ranks)
{
    int weight = hwloc_bitmap_weight(allowed);

    memset(space, 0, sizeof(*space));
    if (weight <= 0)
        return -1;
    space->cores = calloc((size_t)weight, sizeof(hwloc_bitmap_t));
    space->core_home = calloc((size_t)weight, sizeof(int));
    if (!space->cores || !space->core_home || collect_cores(space, model, allowed))
        return -1;
    if (!space->located && collect_unknown(space, allowed))
        return -1;
    return deal_slots(space, ranks);
}

void dt_bind_space_fini(struct dt_bind_space *space)
{
    for (size_t i = 0; i < space->core_count; i++)
        hwloc_bitmap_free(space->cores[i]);
    free(space->cores);
    free(space->core_home);
    free(space->slots);
}
