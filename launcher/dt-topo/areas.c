/* SPDX-License-Identifier: Apache-2.0 */
/* The machine cut into areas: one a NUMA node, with the cores and devices that are nearest to it. */
#include <stdlib.h>
#include <string.h>

#include "dt-topo.h"

/* Cores, or PUs where the topology knows no cores, each with the NUMA node that it lives on. */
static int collect_cores(struct areas *areas, hwloc_topology_t hwloc)
{
    int cores = hwloc_get_nbobjs_by_type(hwloc, HWLOC_OBJ_CORE);
    hwloc_obj_type_t type = cores > 0 ? HWLOC_OBJ_CORE : HWLOC_OBJ_PU;
    int count = hwloc_get_nbobjs_by_type(hwloc, type);

    areas->cores = calloc(count > 0 ? (size_t)count : 1, sizeof(hwloc_bitmap_t));
    if (!areas->cores)
        return -1;
    for (int c = 0; c < count; c++) {
        hwloc_obj_t core = hwloc_get_obj_by_type(hwloc, type, (unsigned)c);
        areas->cores[areas->core_count] = hwloc_bitmap_dup(core->cpuset);
        if (!areas->cores[areas->core_count++])
            return -1;
    }
    return 0;
}

static int area_init(struct area *area, const struct dt_topology *topology, size_t cores)
{
    size_t gpus = topology->accelerator_count, nics = topology->nic_count;

    area->cores = calloc(cores ? cores : 1, sizeof(size_t));
    area->gpus = calloc(gpus ? gpus : 1, sizeof(size_t));
    area->nics = calloc(nics ? nics : 1, sizeof(size_t));
    return area->cores && area->gpus && area->nics ? 0 : -1;
}

/* A core is drawn with the first node that holds it: where a CPU has several, that is its memory. */
static void deal_cores(struct areas *areas)
{
    for (size_t c = 0; c < areas->core_count; c++) {
        size_t a = 0;
        while (a + 1 < areas->count &&
               !hwloc_bitmap_intersects(areas->items[a].node->cpuset, areas->cores[c]))
            a++;
        areas->items[a].cores[areas->items[a].core_count++] = c;
    }
}

/* The last area is for what has no node. */
static struct area *area_of(struct areas *areas, int numa)
{
    for (size_t a = 0; a + 1 < areas->count; a++)
        if ((int)areas->items[a].node->logical_index == numa)
            return &areas->items[a];
    return &areas->items[areas->count - 1];
}

static void deal_devices(struct areas *areas, const struct dt_topology *topology)
{
    for (size_t g = 0; g < topology->accelerator_count; g++) {
        struct area *area = area_of(areas, topology->accelerators[g].numa);
        area->gpus[area->gpu_count++] = g;
    }
    for (size_t n = 0; n < topology->nic_count; n++) {
        struct area *area = area_of(areas, topology->nics[n].numa);
        area->nics[area->nic_count++] = n;
    }
}

int areas_init(struct areas *areas, const struct dt_topology *topology)
{
    int nodes = hwloc_get_nbobjs_by_type(topology->hwloc, HWLOC_OBJ_NUMANODE);

    memset(areas, 0, sizeof(*areas));
    areas->items = calloc((size_t)(nodes > 0 ? nodes : 0) + 1, sizeof(*areas->items));
    if (!areas->items || collect_cores(areas, topology->hwloc))
        goto fail;
    for (int n = 0; n <= nodes; n++) {
        struct area *area = &areas->items[areas->count++];
        if (area_init(area, topology, areas->core_count))
            goto fail;
        if (n == nodes)
            break;
        area->node = hwloc_get_obj_by_type(topology->hwloc, HWLOC_OBJ_NUMANODE, (unsigned)n);
        area->package =
            hwloc_get_ancestor_obj_by_type(topology->hwloc, HWLOC_OBJ_PACKAGE, area->node);
    }
    deal_cores(areas);
    deal_devices(areas, topology);
    return 0;
fail:
    areas_fini(areas);
    return -1;
}

void areas_fini(struct areas *areas)
{
    for (size_t a = 0; areas->items && a < areas->count; a++) {
        free(areas->items[a].cores);
        free(areas->items[a].gpus);
        free(areas->items[a].nics);
    }
    for (size_t c = 0; c < areas->core_count; c++)
        hwloc_bitmap_free(areas->cores[c]);
    free(areas->items);
    free(areas->cores);
    memset(areas, 0, sizeof(*areas));
}

const char *accelerator_label(const struct dt_topology *topology)
{
    return topology->kind == DT_ACCELERATOR_NEURON ? "Neuron" : "GPU";
}

static void put_count(struct dt_buf *out, int count, const char *one, const char *many)
{
    const char *comma = out->len && out->data[out->len - 1] != ' ' ? ", " : "";

    if (count > 0)
        dt_buf_printf(out, "%s%d %s", comma, count, count == 1 ? one : many);
}

void put_heading(struct dt_buf *out, const struct dt_topology *topology)
{
    hwloc_topology_t hwloc = topology->hwloc;
    bool neuron = topology->kind == DT_ACCELERATOR_NEURON;
    int pus = hwloc_get_nbobjs_by_type(hwloc, HWLOC_OBJ_PU);

    dt_buf_printf(out,
                  "%s: ", *topology->machine ? topology->machine : "a machine of unknown type");
    put_count(out, hwloc_get_nbobjs_by_type(hwloc, HWLOC_OBJ_PACKAGE), "package", "packages");
    put_count(out, hwloc_get_nbobjs_by_type(hwloc, HWLOC_OBJ_NUMANODE), "NUMA node", "NUMA nodes");
    put_count(out, hwloc_get_nbobjs_by_type(hwloc, HWLOC_OBJ_CORE), "core", "cores");
    put_count(out, pus, "PU", "PUs");
    put_count(out, (int)topology->accelerator_count, neuron ? "Neuron device" : "GPU",
              neuron ? "Neuron devices" : "GPUs");
    put_count(out, (int)topology->nic_count, "NIC", "NICs");
}

void put_area_name(struct dt_buf *out, const struct area *area)
{
    if (!area->node) {
        dt_buf_puts(out, "on no NUMA node that is known");
        return;
    }
    if (area->package)
        dt_buf_printf(out, "package %u, ", area->package->os_index);
    dt_buf_printf(out, "NUMA node %u", area->node->os_index);
}

void put_area_size(struct dt_buf *out, const struct area *area)
{
    unsigned long long memory = area->node ? area->node->attr->numanode.local_memory : 0;

    if (area->core_count)
        dt_buf_printf(out, "%zu core%s", area->core_count, area->core_count == 1 ? "" : "s");
    else if (area->node)
        dt_buf_puts(out, "no cores");
    if (memory >= 1ULL << 30)
        dt_buf_printf(out, ", %llu GiB", (memory + (1ULL << 29)) >> 30);
    else if (memory)
        dt_buf_printf(out, ", %llu MiB", memory >> 20);
}
