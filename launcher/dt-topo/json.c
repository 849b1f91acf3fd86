/* SPDX-License-Identifier: Apache-2.0 */
/* JSON for programs: the plan as its contract has it (dt-topo(1)), and the machine. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "dt-topo.h"

static json_t *cpus_json(hwloc_const_bitmap_t cpus)
{
    char *text = cpus_text(cpus);
    json_t *json = text ? json_string(text) : NULL;
    free(text);
    return json;
}

static json_t *numbers(hwloc_const_bitmap_t set)
{
    json_t *array = json_array();
    for (int i = hwloc_bitmap_first(set); array && i >= 0; i = hwloc_bitmap_next(set, i))
        json_array_append_new(array, json_integer(i));
    return array;
}

static json_t *ids(const struct dt_device *devices, const size_t *indices, size_t count)
{
    json_t *array = json_array();
    for (size_t i = 0; array && i < count; i++)
        json_array_append_new(array, json_string(devices[indices[i]].id));
    return array;
}

static json_t *rank_json(const struct view *view, size_t r)
{
    const struct dt_topology *topology = view->topology;
    const struct dt_bind_plan *plan = &view->planning->plan;
    const struct dt_bind_rank *rank = &plan->ranks[r];

    return json_pack(
        "{s:I,s:o,s:o,s:s,s:o,s:o,s:f}", "local_rank", (json_int_t)r, "cpus", cpus_json(rank->cpus),
        "memory", numbers(rank->numa), "policy",
        hwloc_bitmap_iszero(rank->numa) && strcmp(plan->memory, "local") != 0 ? "default"
                                                                              : plan->memory,
        "gpus", ids(topology->accelerators, rank->accelerators, rank->accelerator_count), "nics",
        ids(topology->nics, rank->nics, rank->nic_count), "cost", (double)rank->cost / 1000);
}

static void add_lines(json_t *array, const char *lines)
{
    while (*lines) {
        size_t len = strcspn(lines, "\n");
        json_array_append_new(array, json_stringn(lines, len));
        lines += len + (lines[len] == '\n');
    }
}

static json_t *notes_json(const struct view *view)
{
    json_t *notes = json_array();

    if (notes)
        add_lines(notes, view->topology->notes);
    if (notes && view->planning)
        add_lines(notes, view->planning->plan.notes);
    return notes;
}

static json_t *ranks_json(const struct view *view)
{
    json_t *ranks = json_array();

    for (size_t r = 0; ranks && r < view->planning->plan.rank_count; r++)
        if (json_array_append_new(ranks, rank_json(view, r)))
            break;
    return ranks;
}

static int put_json(struct dt_buf *out, json_t *json)
{
    char *text = json ? json_dumps(json, JSON_INDENT(2)) : NULL;

    json_decref(json);
    if (!text)
        return -1;
    dt_buf_printf(out, "%s\n", text);
    free(text);
    return out->failed ? -1 : 0;
}

int plan_json(struct dt_buf *out, const struct view *view)
{
    return put_json(out,
                    json_pack("{s:s,s:o,s:o,s:o}", "source", view->topology->source, "ranks",
                              ranks_json(view), "idle_cpus", cpus_json(view->planning->plan.idle),
                              "notes", notes_json(view)));
}

static json_t *number_or_null(int value)
{
    return value < 0 ? json_null() : json_integer(value);
}

static json_t *devices_json(const struct dt_topology *topology, const struct dt_device *devices,
                            size_t count)
{
    json_t *array = json_array();

    for (size_t i = 0; array && i < count; i++) {
        const struct dt_device *d = &devices[i];
        hwloc_obj_t node = d->numa < 0 ? NULL
                                       : hwloc_get_obj_by_type(topology->hwloc, HWLOC_OBJ_NUMANODE,
                                                               (unsigned)d->numa);
        json_array_append_new(array, json_pack("{s:s,s:s,s:s,s:o,s:o,s:o,s:b}", "id", d->id, "pci",
                                               d->bdf, "model", d->model, "numa",
                                               number_or_null(node ? (int)node->os_index : -1),
                                               "switch", number_or_null(d->group), "host_bridge",
                                               number_or_null(d->root), "mig", d->partitioned));
    }
    return array;
}

static json_t *nodes_json(const struct dt_topology *topology)
{
    json_t *array = json_array();
    hwloc_obj_t node = NULL;

    while (array &&
           (node = hwloc_get_next_obj_by_type(topology->hwloc, HWLOC_OBJ_NUMANODE, node))) {
        hwloc_obj_t package =
            hwloc_get_ancestor_obj_by_type(topology->hwloc, HWLOC_OBJ_PACKAGE, node);
        json_array_append_new(
            array, json_pack("{s:I,s:o,s:o,s:I}", "numa", (json_int_t)node->os_index, "package",
                             number_or_null(package ? (int)package->os_index : -1), "cpus",
                             cpus_json(node->cpuset), "memory_mib",
                             (json_int_t)(node->attr->numanode.local_memory >> 20)));
    }
    return array;
}

int draw_json(struct dt_buf *out, const struct view *view)
{
    const struct dt_topology *t = view->topology;
    json_t *json =
        json_pack("{s:s,s:s,s:i,s:i,s:i,s:o,s:o,s:o}", "machine", t->machine, "source", t->source,
                  "packages", hwloc_get_nbobjs_by_type(t->hwloc, HWLOC_OBJ_PACKAGE), "cores",
                  hwloc_get_nbobjs_by_type(t->hwloc, HWLOC_OBJ_CORE), "pus",
                  hwloc_get_nbobjs_by_type(t->hwloc, HWLOC_OBJ_PU), "numa_nodes", nodes_json(t),
                  "accelerators", devices_json(t, t->accelerators, t->accelerator_count), "nics",
                  devices_json(t, t->nics, t->nic_count));

    if (json && view->planning) {
        json_object_set_new(json, "ranks", ranks_json(view));
        json_object_set_new(json, "idle_cpus", cpus_json(view->planning->plan.idle));
    }
    if (json)
        json_object_set_new(json, "notes", notes_json(view));
    return put_json(out, json);
}
