/* SPDX-License-Identifier: Apache-2.0 */
/* The plan in words: one line for every job, and rank by rank for whoever asked for it. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "bind/internal.h"

struct range {
    size_t min, max;
};

static void widen(struct range *range, size_t value, bool first)
{
    if (first || value < range->min)
        range->min = value;
    if (first || value > range->max)
        range->max = value;
}

static void put_range(struct dt_buf *out, struct range range, const char *one, const char *many)
{
    if (range.min == range.max)
        dt_buf_printf(out, "%zu %s", range.max, range.max == 1 ? one : many);
    else
        dt_buf_printf(out, "%zu-%zu %s", range.min, range.max, many);
}

/* Cores that the PUs are on; a PU that the topology puts on no core counts as one. */
static size_t count_cores(hwloc_topology_t hwloc, hwloc_const_bitmap_t cpus)
{
    hwloc_obj_t previous = NULL;
    size_t count = (size_t)hwloc_bitmap_weight(cpus);

    for (hwloc_obj_t pu = hwloc_get_obj_by_type(hwloc, HWLOC_OBJ_PU, 0); pu; pu = pu->next_cousin) {
        hwloc_obj_t core = pu->parent;
        if (!hwloc_bitmap_isset(cpus, pu->os_index))
            continue;
        if (core && core->type == HWLOC_OBJ_CORE && core == previous)
            count--;
        previous = core;
    }
    return count;
}

static const char *accelerator_word(enum dt_accelerator kind, bool many)
{
    if (kind == DT_ACCELERATOR_NEURON)
        return many ? "Neuron devices" : "Neuron device";
    return many ? "GPUs" : "GPU";
}

static bool ranks_share_cores(const struct dt_bind_plan *plan)
{
    hwloc_bitmap_t all = hwloc_bitmap_alloc();
    int sum = 0, together;

    for (size_t r = 0; all && r < plan->rank_count; r++) {
        hwloc_bitmap_or(all, all, plan->ranks[r].cpus);
        sum += hwloc_bitmap_weight(plan->ranks[r].cpus);
    }
    together = all ? hwloc_bitmap_weight(all) : sum;
    hwloc_bitmap_free(all);
    return sum > together;
}

/* "memory preferred on", "memory bound to", "memory interleaved over" */
static const char *memory_word(const struct dt_bind_plan *plan)
{
    if (strcmp(plan->memory, "bind") == 0)
        return "bound to";
    return strcmp(plan->memory, "interleave") == 0 ? "interleaved over" : "preferred on";
}

static void put_memory(struct dt_buf *out, const struct dt_bind_plan *plan)
{
    struct range nodes = {0};

    for (size_t r = 0; r < plan->rank_count; r++)
        widen(&nodes, (size_t)hwloc_bitmap_weight(plan->ranks[r].numa), r == 0);
    if (strcmp(plan->memory, "local") == 0)
        dt_buf_puts(out, ", memory local to where it is first touched");
    else if (nodes.max == 0)
        dt_buf_puts(out, ", memory policy left alone");
    else
        dt_buf_printf(out, ", memory %s the NUMA node%s of its cores", memory_word(plan),
                      nodes.max == 1 ? "" : "s");
}

char *dt_bind_summary(const struct dt_bind_plan *plan, const struct dt_bind_request *request)
{
    struct dt_buf out = DT_BUF_INIT;
    struct range cores = {0}, accelerators = {0}, nics = {0};

    for (size_t r = 0; r < plan->rank_count; r++) {
        const struct dt_bind_rank *rank = &plan->ranks[r];
        widen(&cores, count_cores(request->topology->hwloc, rank->cpus), r == 0);
        widen(&accelerators, rank->accelerator_count, r == 0);
        widen(&nics, rank->nic_count, r == 0);
    }
    dt_buf_printf(&out, "%zu rank%s, ", plan->rank_count, plan->rank_count == 1 ? "" : "s");
    put_range(&out, cores, "core", "cores");
    if (accelerators.max > 0) {
        dt_buf_puts(&out, nics.max > 0 ? ", " : " and ");
        put_range(&out, accelerators, accelerator_word(request->topology->kind, false),
                  accelerator_word(request->topology->kind, true));
    }
    if (nics.max > 0) {
        dt_buf_puts(&out, " and ");
        put_range(&out, nics, "NIC", "NICs");
    }
    if (plan->rank_count > 1)
        dt_buf_puts(&out, " each");
    put_memory(&out, plan);
    if (plan->stand_back)
        dt_buf_printf(&out, "; %s", plan->reason);
    else if (ranks_share_cores(plan))
        dt_buf_puts(&out, "; there are fewer cores than ranks, so ranks share cores");
    if (request->user_visible_devices)
        dt_buf_puts(&out, "; GPUs as the user's CUDA_VISIBLE_DEVICES has them");
    return dt_buf_take(&out);
}

/* ---- explanation ----------------------------------------------------------------------------- */

static void put_bitmap(struct dt_buf *out, hwloc_const_bitmap_t bitmap)
{
    char *text = NULL;

    if (hwloc_bitmap_list_asprintf(&text, bitmap) < 0)
        out->failed = true;
    else
        dt_buf_puts(out, text);
    free(text);
}

/* Where a device is, seen from a rank's memory nodes. */
static const char *nearness(const struct dt_topology *topology, const struct dt_device *device,
                            hwloc_const_bitmap_t numa)
{
    hwloc_obj_t node;

    if (device->numa < 0)
        return "place unknown";
    node = hwloc_get_obj_by_type(topology->hwloc, HWLOC_OBJ_NUMANODE, (unsigned)device->numa);
    if (!node || hwloc_bitmap_iszero(numa))
        return "place unknown";
    return hwloc_bitmap_isset(numa, node->os_index) ? "on its NUMA node" : "on another NUMA node";
}

static bool shares_switch(const struct dt_topology *topology, const struct dt_bind_rank *rank,
                          const struct dt_device *nic)
{
    for (size_t i = 0; nic->group >= 0 && i < rank->accelerator_count; i++)
        if (topology->accelerators[rank->accelerators[i]].group == nic->group)
            return true;
    return false;
}

static size_t ranks_with_nic(const struct dt_bind_plan *plan, size_t nic)
{
    size_t count = 0;

    for (size_t r = 0; r < plan->rank_count; r++)
        for (size_t i = 0; i < plan->ranks[r].nic_count; i++)
            count += plan->ranks[r].nics[i] == nic;
    return count;
}

static void explain_nics(struct dt_buf *out, const struct dt_bind_plan *plan,
                         const struct dt_topology *topology, const struct dt_bind_rank *rank)
{
    for (size_t i = 0; i < rank->nic_count; i++) {
        const struct dt_device *nic = &topology->nics[rank->nics[i]];
        size_t users = ranks_with_nic(plan, rank->nics[i]);

        dt_buf_printf(out, "    NIC %s (%s)", nic->id,
                      shares_switch(topology, rank, nic) ? "behind its accelerator's PCIe switch"
                                                         : nearness(topology, nic, rank->numa));
        if (users > 1)
            dt_buf_printf(out, ", shared by %zu ranks", users);
        dt_buf_puts(out, "\n");
    }
}

static void explain_rank(struct dt_buf *out, const struct dt_bind_plan *plan,
                         const struct dt_topology *topology, size_t r)
{
    const struct dt_bind_rank *rank = &plan->ranks[r];
    size_t cores = count_cores(topology->hwloc, rank->cpus);

    dt_buf_printf(out, "local rank %zu: %zu core%s, PUs ", r, cores, cores == 1 ? "" : "s");
    put_bitmap(out, rank->cpus);
    if (strcmp(plan->memory, "local") == 0) {
        dt_buf_puts(out, "; memory local\n");
    } else if (hwloc_bitmap_iszero(rank->numa)) {
        dt_buf_puts(out, "; memory policy left alone\n");
    } else {
        dt_buf_printf(out, "; memory %s NUMA node ", memory_word(plan));
        put_bitmap(out, rank->numa);
        dt_buf_puts(out, "\n");
    }
    for (size_t i = 0; i < rank->accelerator_count; i++) {
        const struct dt_device *device = &topology->accelerators[rank->accelerators[i]];
        dt_buf_printf(out, "    %s %zu: %s at %s (%s)\n", accelerator_word(topology->kind, false),
                      rank->accelerators[i], device->id, *device->bdf ? device->bdf : "?",
                      nearness(topology, device, rank->numa));
    }
    explain_nics(out, plan, topology, rank);
}

char *dt_bind_explain(const struct dt_bind_plan *plan, const struct dt_topology *topology)
{
    struct dt_buf out = DT_BUF_INIT;

    dt_buf_printf(&out, "binding: %s\n", plan->summary ? plan->summary : "nothing planned");
    dt_buf_printf(&out, "topology from: %s\n", topology->source ? topology->source : "unknown");
    for (size_t r = 0; r < plan->rank_count; r++)
        explain_rank(&out, plan, topology, r);
    return dt_buf_take(&out);
}
