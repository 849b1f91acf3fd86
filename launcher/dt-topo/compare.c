/* SPDX-License-Identifier: Apache-2.0 */
/* The same ranks bound by dt and by others, side by side. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "dt-topo.h"
#include "rules.h"

struct binder {
    const char *name, *word; /* "word" in JSON */
    int (*bind)(const struct rule_input *in, struct dt_bind_rank *ranks, size_t count);
};

static const struct binder binders[] = {
    {"dt", "dt", NULL},
    {"mpibind's rule", "mpibind", rule_mpibind},
    {"Slurm's default", "slurm", rule_slurm},
    {"linear order", "linear", rule_linear},
};
#define BINDER_COUNT (sizeof(binders) / sizeof(binders[0]))

struct result {
    double cost;     /* sum over the ranks, as lib/bind counts */
    double distance; /* mean over ranks: of their CPUs from their accelerators; 0: none have any */
    size_t idle_cores; /* allowed cores on which no rank may run */
    size_t idle_pus;
    size_t shared_cores; /* cores on which several ranks may run */
    size_t starved;      /* ranks without an accelerator, where the job has some */
    size_t without_cpu;
    size_t fewest_gpus, most_gpus;
};

/* ---- one binder ------------------------------------------------------------------------------- */

static void ranks_fini(struct dt_bind_rank *ranks, size_t count)
{
    for (size_t r = 0; ranks && r < count; r++) {
        hwloc_bitmap_free(ranks[r].cpus);
        free(ranks[r].accelerators);
    }
    free(ranks);
}

static struct dt_bind_rank *ranks_new(size_t count, size_t gpus)
{
    struct dt_bind_rank *ranks = calloc(count, sizeof(*ranks));

    for (size_t r = 0; ranks && r < count; r++) {
        ranks[r].cpus = hwloc_bitmap_alloc();
        ranks[r].accelerators = calloc(gpus ? gpus : 1, sizeof(size_t));
        if (!ranks[r].cpus || !ranks[r].accelerators) {
            ranks_fini(ranks, count);
            return NULL;
        }
    }
    return ranks;
}

static int copy_plan(const struct dt_bind_plan *plan, struct dt_bind_rank *ranks)
{
    for (size_t r = 0; r < plan->rank_count; r++) {
        if (hwloc_bitmap_copy(ranks[r].cpus, plan->ranks[r].cpus))
            return -1;
        memcpy(ranks[r].accelerators, plan->ranks[r].accelerators,
               plan->ranks[r].accelerator_count * sizeof(size_t));
        ranks[r].accelerator_count = plan->ranks[r].accelerator_count;
    }
    return 0;
}

static void count_cores(const struct rule_input *in, const struct dt_bind_rank *ranks, size_t count,
                        struct result *result)
{
    hwloc_topology_t hwloc = in->topology->hwloc;
    bool cores = hwloc_get_nbobjs_by_type(hwloc, HWLOC_OBJ_CORE) > 0;
    hwloc_obj_t core = NULL;

    while (
        (core = hwloc_get_next_obj_by_type(hwloc, cores ? HWLOC_OBJ_CORE : HWLOC_OBJ_PU, core))) {
        size_t users = 0;
        if (!hwloc_bitmap_intersects(core->cpuset, in->allowed))
            continue;
        for (size_t r = 0; r < count; r++)
            users += hwloc_bitmap_intersects(core->cpuset, ranks[r].cpus) != 0;
        result->idle_cores += users == 0;
        result->shared_cores += users > 1;
    }
}

/* Mean NUMA distance of a rank's CPUs from its accelerators; negative: it has none with a place. */
static double rank_distance(const struct dt_topology *topology, const struct dt_bind_rank *rank)
{
    hwloc_obj_t node = NULL;
    hwloc_bitmap_t open = hwloc_bitmap_dup(rank->cpus), here = hwloc_bitmap_alloc();
    double sum = 0;
    long weight = 0;

    while (open && here &&
           (node = hwloc_get_next_obj_by_type(topology->hwloc, HWLOC_OBJ_NUMANODE, node))) {
        struct dt_device place = {.numa = (int)node->logical_index, .group = -1, .root = -1};
        hwloc_bitmap_and(here, open, node->cpuset);
        hwloc_bitmap_andnot(open, open, node->cpuset);
        for (size_t i = 0; i < rank->accelerator_count && !hwloc_bitmap_iszero(here); i++) {
            struct dt_bind_near near = dt_bind_device_near(
                topology, &topology->accelerators[rank->accelerators[i]], &place);
            if (near.distance < 0)
                continue;
            sum += (double)near.distance / 1000 * hwloc_bitmap_weight(here);
            weight += hwloc_bitmap_weight(here);
        }
    }
    hwloc_bitmap_free(open);
    hwloc_bitmap_free(here);
    return weight ? sum / (double)weight : -1;
}

static double mean_distance(const struct dt_topology *topology, const struct dt_bind_rank *ranks,
                            size_t count)
{
    double sum = 0;
    size_t known = 0;

    for (size_t r = 0; r < count; r++) {
        double distance = rank_distance(topology, &ranks[r]);
        if (distance < 0)
            continue;
        sum += distance;
        known++;
    }
    return known ? sum / (double)known : 0;
}

static int judge(const struct rule_input *in, struct dt_bind_rank *ranks, size_t count,
                 struct result *result)
{
    hwloc_bitmap_t idle = hwloc_bitmap_dup(in->allowed);

    if (!idle || dt_bind_cost(in->topology, ranks, count)) {
        hwloc_bitmap_free(idle);
        return -1;
    }
    result->fewest_gpus = in->gpu_count;
    for (size_t r = 0; r < count; r++) {
        size_t gpus = ranks[r].accelerator_count;
        result->cost += (double)ranks[r].cost / 1000;
        result->starved += in->gpu_count > 0 && gpus == 0;
        result->without_cpu += hwloc_bitmap_iszero(ranks[r].cpus) != 0;
        if (gpus < result->fewest_gpus)
            result->fewest_gpus = gpus;
        if (gpus > result->most_gpus)
            result->most_gpus = gpus;
        hwloc_bitmap_andnot(idle, idle, ranks[r].cpus);
    }
    result->distance = mean_distance(in->topology, ranks, count);
    result->idle_pus = (size_t)hwloc_bitmap_weight(idle);
    hwloc_bitmap_free(idle);
    count_cores(in, ranks, count, result);
    return 0;
}

static int try_binder(const struct binder *binder, const struct rule_input *in,
                      const struct dt_bind_plan *plan, struct result *result)
{
    struct dt_bind_rank *ranks = ranks_new(plan->rank_count, in->topology->accelerator_count);
    int rc = ranks ? 0 : -1;

    if (rc == 0)
        rc = binder->bind ? binder->bind(in, ranks, plan->rank_count) : copy_plan(plan, ranks);
    if (rc == 0)
        rc = judge(in, ranks, plan->rank_count, result);
    ranks_fini(ranks, plan->rank_count);
    return rc;
}

/* ---- showing ---------------------------------------------------------------------------------- */

static void show_text(struct dt_buf *out, const struct dt_topology *topology,
                      const struct dt_bind_plan *plan, const struct result *results)
{
    put_heading(out, topology);
    dt_buf_printf(out, "\ntopology from: %s\n%zu ranks\n\n", topology->source, plan->rank_count);
    dt_buf_printf(out, "%-16s %9s %9s %6s %6s %7s %9s %7s\n", "", "cost", "GPU", "idle", "idle",
                  "shared", "starved", "GPUs");
    dt_buf_printf(out, "%-16s %9s %9s %6s %6s %7s %9s %7s\n", "", "", "distance", "cores", "PUs",
                  "cores", "ranks", "a rank");
    for (size_t b = 0; b < BINDER_COUNT; b++) {
        const struct result *r = &results[b];
        struct dt_buf gpus = DT_BUF_INIT;
        if (r->fewest_gpus == r->most_gpus)
            dt_buf_printf(&gpus, "%zu", r->most_gpus);
        else
            dt_buf_printf(&gpus, "%zu-%zu", r->fewest_gpus, r->most_gpus);
        dt_buf_printf(out, "%-16s %9.1f %9.1f %6zu %6zu %7zu %9zu %7s\n", binders[b].name, r->cost,
                      r->distance, r->idle_cores, r->idle_pus, r->shared_cores,
                      r->starved + r->without_cpu, gpus.data ? gpus.data : "");
        out->failed |= gpus.failed;
        dt_buf_fini(&gpus);
    }
    dt_buf_puts(out,
                "\n"
                "Cost: sum of distances of each rank's cores, GPUs and NICs; idle cores and\n"
                "ranks without a GPU add nothing to it.\n"
                "GPU distance: mean over the ranks' CPUs, in the kernel's NUMA distances (10:\n"
                "the same node). Starved ranks have no GPU, or no CPU.\n");
}

static int show_json(struct dt_buf *out, const struct dt_topology *topology,
                     const struct dt_bind_plan *plan, const struct result *results)
{
    json_t *list = json_array(), *json;
    char *text;

    for (size_t b = 0; list && b < BINDER_COUNT; b++) {
        const struct result *r = &results[b];
        json_array_append_new(
            list, json_pack("{s:s,s:f,s:f,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "binder", binders[b].word,
                            "cost", r->cost, "gpu_distance", r->distance, "idle_cores",
                            (json_int_t)r->idle_cores, "idle_pus", (json_int_t)r->idle_pus,
                            "shared_cores", (json_int_t)r->shared_cores, "starved_ranks",
                            (json_int_t)r->starved, "ranks_without_cpu", (json_int_t)r->without_cpu,
                            "fewest_gpus", (json_int_t)r->fewest_gpus, "most_gpus",
                            (json_int_t)r->most_gpus));
    }
    json = json_pack("{s:s,s:I,s:o}", "source", topology->source, "ranks",
                     (json_int_t)plan->rank_count, "binders", list);
    text = json ? json_dumps(json, JSON_INDENT(2)) : NULL;
    json_decref(json);
    if (!text)
        return -1;
    dt_buf_printf(out, "%s\n", text);
    free(text);
    return 0;
}

int compare_show(struct dt_buf *out, const struct dt_topology *topology,
                 const struct planning *planning, bool json)
{
    struct result results[BINDER_COUNT] = {{0}};
    struct rule_input in = {.topology = topology,
                            .allowed = planning->allowed,
                            .gpus = planning->gpus,
                            .gpu_count = planning->gpu_count};
    size_t *all = NULL;
    int rc = 0;

    if (!in.gpus) {
        in.gpu_count = topology->accelerator_count;
        in.gpus = all = calloc(in.gpu_count ? in.gpu_count : 1, sizeof(size_t));
        for (size_t g = 0; all && g < in.gpu_count; g++)
            all[g] = g;
        rc = all ? 0 : -1;
    }
    for (size_t b = 0; b < BINDER_COUNT && rc == 0; b++)
        rc = try_binder(&binders[b], &in, &planning->plan, &results[b]);
    if (rc == 0 && json)
        rc = show_json(out, topology, &planning->plan, results);
    else if (rc == 0)
        show_text(out, topology, &planning->plan, results);
    free(all);
    return rc || out->failed ? -1 : 0;
}
