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

/* A Neuron device has cores for several ranks; a GPU that several ranks use is often a slip. */
static bool ranks_share_gpus(const struct dt_bind_plan *plan, enum dt_accelerator kind)
{
    for (size_t r = 0; r < plan->rank_count; r++)
        for (size_t i = 0; i < plan->ranks[r].choice_count; i++)
            if (!plan->ranks[r].choices[i].nic && plan->ranks[r].choices[i].users > 1)
                return kind != DT_ACCELERATOR_NEURON;
    return false;
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
        widen(&cores, rank->cores, r == 0);
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
    if (!plan->stand_back)
        put_memory(&out, plan);
    if (plan->stand_back)
        dt_buf_printf(&out, "; %s", plan->reason);
    else if (ranks_share_cores(plan))
        dt_buf_puts(&out, "; there are fewer cores than ranks, so ranks share cores");
    if (request->user_visible_devices)
        dt_buf_puts(&out, "; GPUs as the user's CUDA_VISIBLE_DEVICES has them");
    else if (request->own)
        dt_buf_puts(&out, "; GPUs as Slurm gave them to each task");
    else if (ranks_share_gpus(plan, request->topology->kind))
        dt_buf_puts(&out, "; there are fewer GPUs than ranks, so ranks share GPUs");
    return dt_buf_take(&out);
}

/* ---- notes ----------------------------------------------------------------------------------- */

static void put_bitmap(struct dt_buf *out, hwloc_const_bitmap_t bitmap)
{
    char *text = NULL;

    if (hwloc_bitmap_list_asprintf(&text, bitmap) < 0)
        out->failed = true;
    else
        dt_buf_puts(out, text);
    free(text);
}

static void note_devices(struct dt_buf *out, const struct dt_bind_plan *plan,
                         const struct dt_bind_model *model)
{
    const struct dt_topology *t = model->topology;
    size_t lost = 0;
    const char *first = NULL;

    for (size_t r = 0; plan->rank_count > 1 && r < plan->rank_count; r++) {
        for (size_t i = 0; i < plan->ranks[r].accelerator_count; i++) {
            const struct dt_device *device = &t->accelerators[plan->ranks[r].accelerators[i]];
            bool one_node = model->distances.nodes == 1;
            lost += device->numa < 0 && !one_node;
            first = device->numa < 0 && !one_node && !first ? device->id : first;
        }
    }
    if (lost)
        dt_buf_printf(
            out,
            "%s %s%s on no known NUMA node, so cores are not chosen by nearness to it; an "
            "override file can tell its place\n",
            accelerator_word(t->kind, false), first, lost > 1 ? " and others are" : " is");
}

char *dt_bind_notes(const struct dt_bind_plan *plan, const struct dt_bind_model *model,
                    const struct dt_bind_request *request)
{
    struct dt_buf out = DT_BUF_INIT;
    size_t least = plan->ranks[0].cores;

    dt_buf_puts(&out, "");
    note_devices(&out, plan, model);
    for (size_t r = 0; r < plan->rank_count; r++)
        least = plan->ranks[r].cores < least ? plan->ranks[r].cores : least;
    if (!plan->stand_back && plan->rank_count > 1 && ranks_share_cores(plan))
        dt_buf_printf(&out,
                      "%zu ranks have fewer cores than one each and share them; ask Slurm for more "
                      "(--cpus-per-task)\n",
                      plan->rank_count);
    if (request->reserve + request->loaders >= least && request->reserve + request->loaders > 0)
        dt_buf_printf(&out,
                      "%zu cores of a rank were to be kept for other threads, and there is a rank "
                      "with %zu; it keeps one for the program\n",
                      request->reserve + request->loaders, least);
    if (!hwloc_bitmap_iszero(plan->idle)) {
        dt_buf_puts(&out, "CPUs ");
        put_bitmap(&out, plan->idle);
        dt_buf_puts(&out, " are allowed, but the topology does not know them; no rank has them\n");
    }
    if (out.len > 0 && !out.failed)
        out.data[--out.len] = '\0';
    return dt_buf_take(&out);
}

/* ---- explanation ----------------------------------------------------------------------------- */

/* Where a device is, seen from a rank. */
static const char *nearness(const struct dt_bind_choice *choice)
{
    switch (choice->near.place) {
    case DT_BIND_SWITCH:
        return "behind its accelerator's PCIe switch";
    case DT_BIND_ROOT:
        return "below its accelerator's root port";
    case DT_BIND_NODE:
        return "on its NUMA node";
    case DT_BIND_PACKAGE:
        return "on another NUMA node of its package";
    case DT_BIND_REMOTE:
        return "on another package";
    case DT_BIND_UNKNOWN:
        break;
    }
    return "place unknown";
}

static void put_distance(struct dt_buf *out, long long distance)
{
    if (distance >= 0)
        dt_buf_printf(out, "%lld.%lld", distance / DT_BIND_UNIT, distance % DT_BIND_UNIT / 100);
    else
        dt_buf_puts(out, "unknown");
}

/* "; next: rdmap4s0 at 10.0, refused: it is rank 1's" */
static void put_runner_up(struct dt_buf *out, const struct dt_bind_choice *choice, const char *id)
{
    if (!choice->has_runner_up)
        return;
    dt_buf_printf(out, "; next: %s at ", id);
    put_distance(out, choice->runner_up_near.distance);
    if (choice->runner_up_near.distance > choice->near.distance)
        dt_buf_puts(out, ", refused: farther");
    else if (choice->runner_up_rank >= 0)
        dt_buf_printf(out, ", refused: it is local rank %d's", choice->runner_up_rank);
    else
        dt_buf_puts(out, ", refused: it comes later in PCI order");
}

static bool same_line(const struct dt_bind_choice *a, const struct dt_bind_choice *b)
{
    return a->nic && b->nic && a->near.place == b->near.place &&
           a->near.distance == b->near.distance && a->users == b->users;
}

/* NICs alike in one line; returns how many. */
static size_t explain_nics(struct dt_buf *out, const struct dt_topology *topology,
                           const struct dt_bind_choice *choice, size_t left)
{
    size_t count = 1;

    dt_buf_printf(out, "    NIC %s", topology->nics[choice->device].id);
    for (; count < left && same_line(choice, &choice[count]); count++)
        dt_buf_printf(out, ", %s", topology->nics[choice[count].device].id);
    dt_buf_printf(out, " (%s)", nearness(choice));
    if (choice->users > 1)
        dt_buf_printf(out, ", shared by %zu ranks", choice->users);
    dt_buf_puts(out, "; distance ");
    put_distance(out, choice->near.distance);
    put_runner_up(out, choice, choice->has_runner_up ? topology->nics[choice->runner_up].id : "");
    dt_buf_puts(out, "\n");
    return count;
}

static void explain_accelerator(struct dt_buf *out, const struct dt_topology *topology,
                                const struct dt_bind_choice *choice)
{
    const struct dt_device *device = &topology->accelerators[choice->device];

    dt_buf_printf(out, "    %s %zu: %s at %s (%s); distance ",
                  accelerator_word(topology->kind, false), choice->device, device->id,
                  *device->bdf ? device->bdf : "?", nearness(choice));
    put_distance(out, choice->near.distance);
    put_runner_up(out, choice,
                  choice->has_runner_up ? topology->accelerators[choice->runner_up].id : "");
    dt_buf_puts(out, "\n");
}

static void explain_threads(struct dt_buf *out, const struct dt_bind_rank *rank)
{
    dt_buf_printf(out, "    suggested: %zu OpenMP thread%s, %zu data loader%s", rank->omp_threads,
                  rank->omp_threads == 1 ? "" : "s", rank->loader_workers,
                  rank->loader_workers == 1 ? "" : "s");
    if (!hwloc_bitmap_iszero(rank->reserved)) {
        dt_buf_puts(out, "; PUs ");
        put_bitmap(out, rank->reserved);
        dt_buf_puts(out, " are left for communication threads");
    }
    dt_buf_puts(out, "\n");
}

static void explain_rank(struct dt_buf *out, const struct dt_bind_plan *plan,
                         const struct dt_topology *topology, size_t r)
{
    const struct dt_bind_rank *rank = &plan->ranks[r];

    dt_buf_printf(out, "local rank %zu: %zu core%s, PUs ", r, rank->cores,
                  rank->cores == 1 ? "" : "s");
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
    for (size_t i = 0; i < rank->choice_count;) {
        if (rank->choices[i].nic) {
            i += explain_nics(out, topology, &rank->choices[i], rank->choice_count - i);
        } else {
            explain_accelerator(out, topology, &rank->choices[i]);
            i++;
        }
    }
    if (!plan->stand_back)
        explain_threads(out, rank);
}

char *dt_bind_explain(const struct dt_bind_plan *plan, const struct dt_topology *topology)
{
    struct dt_buf out = DT_BUF_INIT;

    dt_buf_printf(&out, "binding: %s\n", plan->summary ? plan->summary : "nothing planned");
    dt_buf_printf(&out, "topology from: %s\n", topology->source ? topology->source : "unknown");
    if (plan->linear_cost > 0) {
        dt_buf_puts(&out, "cost: ");
        put_distance(&out, plan->cost);
        dt_buf_puts(&out, "; GPUs and cores in plain order would cost ");
        put_distance(&out, plan->linear_cost);
        dt_buf_puts(&out, " (sum of distances; 10: same NUMA node)\n");
    }
    for (size_t r = 0; r < plan->rank_count; r++)
        explain_rank(&out, plan, topology, r);
    if (plan->notes && *plan->notes)
        dt_buf_printf(&out, "note: %s\n", plan->notes);
    return dt_buf_take(&out);
}
