/* SPDX-License-Identifier: Apache-2.0 */
/* The cores that there are to give out, where each one lives, and how far apart homes are. */
#include <stdlib.h>
#include <string.h>

#include "bind/internal.h"

#define DISTANCE_LOCAL   10 /* as in ACPI's SLIT */
#define DISTANCE_PACKAGE 12
#define DISTANCE_REMOTE  20

int dt_bind_home_of(hwloc_topology_t hwloc, unsigned pu)
{
    hwloc_obj_t node = NULL;

    /* The first node in the topology's order is ordinary memory where a PU has several kinds. */
    while ((node = hwloc_get_next_obj_by_type(hwloc, HWLOC_OBJ_NUMANODE, node)))
        if (hwloc_bitmap_isset(node->cpuset, pu))
            return (int)node->logical_index;
    return -1;
}

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
static int collect_cores(struct dt_bind_space *space, hwloc_topology_t hwloc,
                         hwloc_const_bitmap_t allowed)
{
    hwloc_obj_t previous = NULL;

    for (hwloc_obj_t pu = hwloc_get_obj_by_type(hwloc, HWLOC_OBJ_PU, 0); pu; pu = pu->next_cousin) {
        hwloc_obj_t core = hwloc_get_ancestor_obj_by_type(hwloc, HWLOC_OBJ_CORE, pu);
        if (!hwloc_bitmap_isset(allowed, pu->os_index))
            continue;
        if (core && core == previous) {
            if (hwloc_bitmap_set(space->cores[space->core_count - 1], pu->os_index))
                return -1;
        } else if (add_core(space, pu->os_index, dt_bind_home_of(hwloc, pu->os_index))) {
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

int dt_bind_space_init(struct dt_bind_space *space, hwloc_topology_t hwloc,
                       hwloc_const_bitmap_t allowed, size_t ranks)
{
    int weight = hwloc_bitmap_weight(allowed);

    memset(space, 0, sizeof(*space));
    if (weight <= 0)
        return -1;
    space->cores = calloc((size_t)weight, sizeof(hwloc_bitmap_t));
    space->core_home = calloc((size_t)weight, sizeof(int));
    if (!space->cores || !space->core_home || collect_cores(space, hwloc, allowed))
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

/* Without the kernel's own figures: near inside a package, far between packages. */
static void guess_distances(struct dt_bind_distances *distances, hwloc_topology_t hwloc)
{
    for (size_t a = 0; a < distances->nodes; a++) {
        for (size_t b = 0; b < distances->nodes; b++) {
            hwloc_obj_t x = hwloc_get_obj_by_type(hwloc, HWLOC_OBJ_NUMANODE, (unsigned)a);
            hwloc_obj_t y = hwloc_get_obj_by_type(hwloc, HWLOC_OBJ_NUMANODE, (unsigned)b);
            long long *value = &distances->values[a * distances->nodes + b];
            hwloc_obj_t package =
                x ? hwloc_get_ancestor_obj_by_type(hwloc, HWLOC_OBJ_PACKAGE, x) : NULL;

            *value = a == b ? DISTANCE_LOCAL : DISTANCE_REMOTE;
            if (a != b && package && y &&
                package == hwloc_get_ancestor_obj_by_type(hwloc, HWLOC_OBJ_PACKAGE, y))
                *value = DISTANCE_PACKAGE;
        }
    }
}

static void read_distances(struct dt_bind_distances *distances, hwloc_topology_t hwloc)
{
    struct hwloc_distances_s *matrix = NULL;
    unsigned count = 1;

    if (hwloc_distances_get_by_name(hwloc, "NUMALatency", &count, &matrix, 0) || count != 1)
        return;
    for (unsigned a = 0; a < matrix->nbobjs; a++)
        for (unsigned b = 0; b < matrix->nbobjs; b++)
            if (matrix->objs[a] && matrix->objs[b])
                distances->values[matrix->objs[a]->logical_index * distances->nodes +
                                  matrix->objs[b]->logical_index] =
                    (long long)matrix->values[a * matrix->nbobjs + b];
    hwloc_distances_release(hwloc, matrix);
}

int dt_bind_distances_init(struct dt_bind_distances *distances, hwloc_topology_t hwloc)
{
    int nodes = hwloc_get_nbobjs_by_type(hwloc, HWLOC_OBJ_NUMANODE);

    distances->nodes = nodes > 0 ? (size_t)nodes : 1;
    distances->values = calloc(distances->nodes * distances->nodes, sizeof(long long));
    if (!distances->values)
        return -1;
    guess_distances(distances, hwloc);
    read_distances(distances, hwloc);
    return 0;
}

void dt_bind_distances_fini(struct dt_bind_distances *distances)
{
    free(distances->values);
}

long long dt_bind_distance(const struct dt_bind_distances *distances, int a, int b)
{
    if (a < 0 || b < 0 || (size_t)a >= distances->nodes || (size_t)b >= distances->nodes)
        return DISTANCE_REMOTE;
    return distances->values[(size_t)a * distances->nodes + (size_t)b];
}
