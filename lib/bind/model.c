/* SPDX-License-Identifier: Apache-2.0 */
/* What the planner asks of a topology: where PUs live, and how far things are from each other. */
#include <stdlib.h>
#include <string.h>

#include "bind/internal.h"

#define DISTANCE_SWITCH  2 /* of dt: below the 10 that the kernel gives to one NUMA node */
#define DISTANCE_ROOT    4
#define DISTANCE_LOCAL   10 /* as in ACPI's SLIT */
#define DISTANCE_PACKAGE 12
#define DISTANCE_REMOTE  20

/* ---- NUMA distances -------------------------------------------------------------------------- */

static hwloc_obj_t node_of(hwloc_topology_t hwloc, size_t index)
{
    return hwloc_get_obj_by_type(hwloc, HWLOC_OBJ_NUMANODE, (unsigned)index);
}

static bool one_package(hwloc_topology_t hwloc, int a, int b)
{
    hwloc_obj_t x = a < 0 ? NULL : node_of(hwloc, (size_t)a);
    hwloc_obj_t y = b < 0 ? NULL : node_of(hwloc, (size_t)b);
    hwloc_obj_t package = x ? hwloc_get_ancestor_obj_by_type(hwloc, HWLOC_OBJ_PACKAGE, x) : NULL;

    return package && y && package == hwloc_get_ancestor_obj_by_type(hwloc, HWLOC_OBJ_PACKAGE, y);
}

/* Without the kernel's own figures: near inside a package, far between packages. */
static void guess_distances(struct dt_bind_distances *distances, hwloc_topology_t hwloc)
{
    for (size_t a = 0; a < distances->nodes; a++)
        for (size_t b = 0; b < distances->nodes; b++)
            distances->values[a * distances->nodes + b] =
                a == b ? DISTANCE_LOCAL
                       : (one_package(hwloc, (int)a, (int)b) ? DISTANCE_PACKAGE : DISTANCE_REMOTE);
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
    distances->values = NULL;
}

long long dt_bind_distance(const struct dt_bind_distances *distances, int a, int b)
{
    if (a < 0 || b < 0 || (size_t)a >= distances->nodes || (size_t)b >= distances->nodes)
        return DISTANCE_REMOTE;
    return distances->values[(size_t)a * distances->nodes + (size_t)b];
}

/* ---- places ---------------------------------------------------------------------------------- */

static enum dt_bind_place place_of_nodes(hwloc_topology_t hwloc, int a, int b)
{
    if (a < 0 || b < 0)
        return DT_BIND_UNKNOWN;
    if (a == b)
        return DT_BIND_NODE;
    return one_package(hwloc, a, b) ? DT_BIND_PACKAGE : DT_BIND_REMOTE;
}

struct dt_bind_near dt_bind_near_of(const struct dt_bind_model *model, const struct dt_device *a,
                                    const struct dt_device *b)
{
    struct dt_bind_near near;

    if (a->group >= 0 && a->group == b->group)
        return (struct dt_bind_near){DT_BIND_SWITCH, DISTANCE_SWITCH * DT_BIND_UNIT};
    if (a->root >= 0 && a->root == b->root)
        return (struct dt_bind_near){DT_BIND_ROOT, DISTANCE_ROOT * DT_BIND_UNIT};
    near.place = place_of_nodes(model->topology->hwloc, a->numa, b->numa);
    near.distance = near.place == DT_BIND_UNKNOWN
                        ? -1
                        : DT_BIND_UNIT * dt_bind_distance(&model->distances, a->numa, b->numa);
    return near;
}

struct dt_bind_near dt_bind_near_cpus(struct dt_bind_model *model, const struct dt_device *device,
                                      hwloc_const_bitmap_t cpus)
{
    struct dt_bind_near near = {DT_BIND_UNKNOWN, -1};
    long long sum = 0, cores = 0;
    int pu;

    if (device->numa < 0)
        return near;
    model->mark++;
    hwloc_bitmap_foreach_begin(pu, cpus)
    {
        size_t at = (size_t)pu;
        if (at >= model->pu_count || model->core_of[at] < 0 || model->home_of[at] < 0 ||
            model->seen[model->core_of[at]] == model->mark)
            continue;
        model->seen[model->core_of[at]] = model->mark;
        enum dt_bind_place place =
            place_of_nodes(model->topology->hwloc, device->numa, model->home_of[at]);
        near.place = place < near.place ? place : near.place;
        sum += dt_bind_distance(&model->distances, device->numa, model->home_of[at]);
        cores++;
    }
    hwloc_bitmap_foreach_end();
    if (cores > 0)
        near.distance = DT_BIND_UNIT * sum / cores;
    return near;
}

const char *dt_bind_place_name(enum dt_bind_place place)
{
    static const char *const names[] = {
        [DT_BIND_SWITCH] = "behind the same PCIe switch",
        [DT_BIND_ROOT] = "below the same PCIe root port",
        [DT_BIND_NODE] = "on the same NUMA node",
        [DT_BIND_PACKAGE] = "on another NUMA node of the package",
        [DT_BIND_REMOTE] = "on another package",
        [DT_BIND_UNKNOWN] = "place unknown",
    };
    return names[place];
}

/* ---- the model ------------------------------------------------------------------------------- */

/* Cores and homes of all PUs. The first node in the topology's order is ordinary memory where a PU
 * has several kinds. PUs come in the topology's order, so siblings of a core follow each other. */
static size_t place_pus(struct dt_bind_model *model)
{
    hwloc_topology_t hwloc = model->topology->hwloc;
    hwloc_obj_t previous = NULL, node = NULL;
    size_t cores = 0;
    int pu;

    for (hwloc_obj_t at = hwloc_get_obj_by_type(hwloc, HWLOC_OBJ_PU, 0); at; at = at->next_cousin) {
        hwloc_obj_t core = hwloc_get_ancestor_obj_by_type(hwloc, HWLOC_OBJ_CORE, at);
        cores += !core || core != previous;
        model->core_of[at->os_index] = (int)cores - 1;
        previous = core;
    }
    while ((node = hwloc_get_next_obj_by_type(hwloc, HWLOC_OBJ_NUMANODE, node))) {
        hwloc_bitmap_foreach_begin(pu, node->cpuset)
        {
            if ((size_t)pu < model->pu_count && model->home_of[pu] < 0)
                model->home_of[pu] = (int)node->logical_index;
        }
        hwloc_bitmap_foreach_end();
    }
    return cores;
}

static void find_nearest_nics(struct dt_bind_model *model)
{
    const struct dt_topology *t = model->topology;

    for (size_t a = 0; a < t->accelerator_count; a++) {
        long long best = -1;
        for (size_t n = 0; n < t->nic_count; n++) {
            long long d = dt_bind_near_of(model, &t->accelerators[a], &t->nics[n]).distance;
            if (d >= 0 && (best < 0 || d < best))
                best = d;
        }
        model->nic_near[a] = best < 0 ? 0 : best;
    }
}

int dt_bind_model_init(struct dt_bind_model *model, const struct dt_topology *topology)
{
    int last = hwloc_bitmap_last(hwloc_topology_get_complete_cpuset(topology->hwloc));
    size_t cores;

    *model = (struct dt_bind_model){.topology = topology};
    model->pu_count = last < 0 ? 1 : (size_t)last + 1;
    model->core_of = malloc(model->pu_count * sizeof(int));
    model->home_of = malloc(model->pu_count * sizeof(int));
    model->nic_near = calloc(topology->accelerator_count + 1, sizeof(long long));
    if (!model->core_of || !model->home_of || !model->nic_near ||
        dt_bind_distances_init(&model->distances, topology->hwloc))
        return -1;
    memset(model->core_of, 0xff, model->pu_count * sizeof(int));
    memset(model->home_of, 0xff, model->pu_count * sizeof(int));
    cores = place_pus(model);
    model->seen = calloc(cores + 1, sizeof(size_t));
    find_nearest_nics(model);
    return model->seen ? 0 : -1;
}

void dt_bind_model_fini(struct dt_bind_model *model)
{
    dt_bind_distances_fini(&model->distances);
    free(model->core_of);
    free(model->home_of);
    free(model->nic_near);
    free(model->seen);
}

/* A PU that the topology does not know counts as a core. */
size_t dt_bind_count_cores(struct dt_bind_model *model, hwloc_const_bitmap_t cpus)
{
    size_t count = 0;
    int pu;

    model->mark++;
    hwloc_bitmap_foreach_begin(pu, cpus)
    {
        int core = (size_t)pu < model->pu_count ? model->core_of[pu] : -1;
        count += core < 0 || model->seen[core] != model->mark;
        if (core >= 0)
            model->seen[core] = model->mark;
    }
    hwloc_bitmap_foreach_end();
    return count;
}

struct dt_bind_near dt_bind_device_near(const struct dt_topology *topology,
                                        const struct dt_device *a, const struct dt_device *b)
{
    struct dt_bind_model model = {.topology = topology};
    struct dt_bind_near near = {DT_BIND_UNKNOWN, -1};

    if (dt_bind_distances_init(&model.distances, topology->hwloc) == 0)
        near = dt_bind_near_of(&model, a, b);
    dt_bind_distances_fini(&model.distances);
    return near;
}
