/* SPDX-License-Identifier: Apache-2.0 */
/* Cores, memory and devices of each rank, and variables that tell the truth about them. */
#include "planner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bind/bind.h"

struct binding {
    struct dt_bind_plan plan;
    hwloc_bitmap_t *masks;
    size_t count;
};

static void binding_fini(struct binding *b)
{
    dt_bind_plan_fini(&b->plan);
    for (size_t i = 0; b->masks && i < b->count; i++)
        hwloc_bitmap_free(b->masks[i]);
    free(b->masks);
}

static int read_masks(struct binding *b, const struct planner *p, struct dt_error *err)
{
    b->count = (size_t)p->request->local_tasks;
    b->masks = calloc(b->count, sizeof(hwloc_bitmap_t));
    if (!b->masks)
        return dt_error_set(err, "out of memory");
    for (size_t i = 0; i < b->count; i++) {
        b->masks[i] = hwloc_bitmap_alloc();
        if (!b->masks[i])
            return dt_error_set(err, "out of memory");
        if (hwloc_bitmap_list_sscanf(b->masks[i], p->masks[i]) < 0 ||
            hwloc_bitmap_weight(b->masks[i]) < 1)
            return dt_error_set(err, "mask '%s' of local rank %zu is no list of CPUs", p->masks[i],
                                i);
    }
    return 0;
}

/* Slurm rewrites its automatic choices to a mask; these types come from the user alone. */
static bool user_bound(const struct dt_request *request)
{
    static const char *const own[] = {"none", "rank", "map_cpu", "map_ldom", "mask_ldom"};
    const char *type = dt_request_getenv(request, "SLURM_CPU_BIND_TYPE");
    for (size_t i = 0; type && i < sizeof own / sizeof *own; i++) {
        if (strncmp(type, own[i], strlen(own[i])) == 0)
            return true;
    }
    return false;
}

/* "auto,interleave": the user's word for memory; where there is none, nearness is a preference. */
static const char *memory_policy(const struct dt_request *request)
{
    static const char *const known[] = {"bind", "interleave", "local"};
    const char *comma = strchr(request->bind, ',');
    for (size_t i = 0; comma && i < sizeof known / sizeof *known; i++) {
        if (strcmp(comma + 1, known[i]) == 0)
            return known[i];
    }
    return "preferred";
}

static int make_plan(struct binding *b, const struct planner *p, struct dt_error *err)
{
    struct dt_bind_request request = {
        .topology = p->topology,
        .ranks = b->count,
        .allowed = (const hwloc_const_bitmap_t *)b->masks,
        .user_visible_devices = dt_request_getenv(p->request, "CUDA_VISIBLE_DEVICES"),
        .user_bound = user_bound(p->request),
        .memory = memory_policy(p->request),
    };
    return dt_bind_plan(&b->plan, &request, err);
}

static char *list_text(hwloc_const_bitmap_t bitmap)
{
    char *text = NULL;
    return hwloc_bitmap_list_asprintf(&text, bitmap) < 0 ? NULL : text;
}

static char *device_ids(const struct dt_device *devices, const size_t *indices, size_t count)
{
    struct dt_buf ids = DT_BUF_INIT;
    for (size_t i = 0; i < count; i++)
        dt_buf_printf(&ids, "%s%s", i ? "," : "", devices[indices[i]].id);
    return dt_buf_take(&ids);
}

/* dt_plan_rank_set with a malloc'd value, which is freed. */
static void set_owned(struct dt_buf *plan, size_t rank, const char *name, char *value)
{
    if (value)
        dt_plan_rank_set(plan, rank, name, value);
    else
        plan->failed = true;
    free(value);
}

static void put_memory(struct dt_buf *plan, size_t rank, const struct dt_bind_rank *r,
                       const char *policy)
{
    if (strcmp(policy, "local") == 0) {
        dt_plan_rank_memory(plan, rank, policy, "");
        dt_plan_rank_set(plan, rank, "DT_BIND_MEMORY", policy);
        return;
    }
    if (hwloc_bitmap_iszero(r->numa)) {
        dt_plan_rank_set(plan, rank, "DT_BIND_MEMORY", "default");
        return;
    }
    char *nodes = list_text(r->numa), *word = NULL;
    if (!nodes || asprintf(&word, "%s:%s", policy, nodes) < 0) {
        plan->failed = true;
        free(nodes);
        return;
    }
    dt_plan_rank_memory(plan, rank, policy, nodes);
    set_owned(plan, rank, "DT_BIND_MEMORY", word);
    free(nodes);
}

static int cores_in(const struct dt_topology *topology, hwloc_const_bitmap_t cpus)
{
    int cores = 0;
    hwloc_obj_t core = NULL;
    while ((core = hwloc_get_next_obj_by_type(topology->hwloc, HWLOC_OBJ_CORE, core)))
        cores += hwloc_bitmap_intersects(core->cpuset, cpus);
    return cores > 0 ? cores : 1;
}

static void put_cpus(const struct planner *p, struct dt_buf *plan, size_t rank,
                     const struct dt_bind_rank *r)
{
    char threads[24];
    char *cpus = list_text(r->cpus);
    if (cpus)
        dt_plan_rank_cpus(plan, rank, cpus);
    else
        plan->failed = true;
    free(cpus);
    put_memory(plan, rank, r, memory_policy(p->request));
    snprintf(threads, sizeof threads, "%d", cores_in(p->topology, r->cpus));
    dt_plan_rank_default(plan, rank, "OMP_NUM_THREADS", threads);
}

static void put_rank(const struct planner *p, struct dt_buf *plan, size_t rank,
                     const struct dt_bind_plan *b)
{
    const struct dt_bind_rank *r = &b->ranks[rank];
    const struct dt_topology *t = p->topology;
    if (!b->stand_back)
        put_cpus(p, plan, rank, r);
    set_owned(plan, rank, "DT_BIND_CPUS", list_text(r->cpus));
    set_owned(plan, rank, "DT_BIND_GPUS",
              device_ids(t->accelerators, r->accelerators, r->accelerator_count));
    set_owned(plan, rank, "DT_BIND_NICS", device_ids(t->nics, r->nics, r->nic_count));
}

/* Programs take device LOCAL_RANK of those that they see. With one GPU a rank, the order of the
 * list makes that the planned one, and peers stay visible; hiding them would break these programs.
 */
static void put_gpu_order(const struct planner *p, struct dt_buf *plan,
                          const struct dt_bind_plan *b)
{
    struct dt_buf ids = DT_BUF_INIT;
    bool fits = b->rank_count > 1 && p->topology->kind == DT_ACCELERATOR_NVIDIA && !b->stand_back;
    for (size_t i = 0; fits && i < b->rank_count; i++) {
        const struct dt_bind_rank *r = &b->ranks[i];
        const char *id =
            r->accelerator_count == 1 ? p->topology->accelerators[r->accelerators[0]].id : "";
        /* Ranks that share a GPU can not be told apart by position: CUDA ends a list at the first
         * repetition. */
        fits = strncmp(id, "GPU-", 4) == 0 && !(ids.data && strstr(ids.data, id));
        dt_buf_printf(&ids, "%s%s", i ? "," : "", id);
    }
    char *list = dt_buf_take(&ids);
    if (fits && list)
        dt_plan_all_default(plan, "CUDA_VISIBLE_DEVICES", list);
    free(list);
}

/* Slurm set these before dt bound anew; srun inside a rank and MPI libraries believe them. */
static void put_slurm_truth(struct dt_buf *plan, const struct dt_bind_plan *b)
{
    struct dt_buf list = DT_BUF_INIT, whole = DT_BUF_INIT;
    for (size_t i = 0; i < b->rank_count; i++) {
        char *mask = NULL;
        if (hwloc_bitmap_taskset_asprintf(&mask, b->ranks[i].cpus) < 0)
            list.failed = true;
        else
            dt_buf_printf(&list, "%s%s", i ? "," : "", mask);
        free(mask);
    }
    char *masks = dt_buf_take(&list);
    dt_buf_printf(&whole, "quiet,mask_cpu:%s", masks ? masks : "");
    char *text = dt_buf_take(&whole);
    if (masks && text) {
        dt_plan_all_set(plan, "SLURM_CPU_BIND", text);
        dt_plan_all_set(plan, "SLURM_CPU_BIND_VERBOSE", "quiet");
        dt_plan_all_set(plan, "SLURM_CPU_BIND_TYPE", "mask_cpu:");
        dt_plan_all_set(plan, "SLURM_CPU_BIND_LIST", masks);
    } else {
        plan->failed = true;
    }
    free(masks);
    free(text);
}

/* Below dt-gather's table, and in its style. */
static void say_summary(struct dt_buf *plan, const struct dt_bind_plan *b)
{
    struct dt_buf line = DT_BUF_INIT;
    dt_buf_printf(&line, "  bind: %s", b->summary ? b->summary : "nothing planned");
    planner_say(plan, line.data ? line.data : "");
    dt_buf_fini(&line);
}

static void say_binding(const struct planner *p, struct dt_buf *plan, const struct dt_bind_plan *b)
{
    bool stood_back = b->stand_back && p->request->node_id == 0 && p->request->het_group <= 0;
    if (!planner_speaks(p, p->request->bind) && !stood_back)
        return;
    if (!planner_is(p->request->bind, "explain")) {
        say_summary(plan, b);
        return;
    }
    char *text = dt_bind_explain(b, p->topology);
    if (text)
        planner_say(plan, text);
    else
        plan->failed = true;
    free(text);
}

/* Slurm's own binding stays; the job is told, and runs. */
static void say_failure(const struct planner *p, struct dt_buf *plan, const char *why)
{
    struct dt_buf line = DT_BUF_INIT;
    dt_buf_printf(&line, "warning: ranks on %s are not bound, Slurm's binding stays: %s",
                  p->request->node_name, why);
    planner_say(plan, line.data ? line.data : "");
    dt_buf_fini(&line);
}

static struct planner_rank summary_of(const struct planner *p, const struct dt_bind_rank *r)
{
    return (struct planner_rank){.known = true,
                                 .cores = cores_in(p->topology, r->cpus),
                                 .gpus = (int)r->accelerator_count,
                                 .nics = (int)r->nic_count};
}

int planner_put_binding(const struct planner *p, struct planner_rank *ranks, struct dt_buf *plan,
                        struct dt_error *err)
{
    struct binding b = {0};
    struct dt_error why;
    int rc = 0;
    if (!planner_wants(p->request->bind) || !p->masks)
        return 0;
    if (!p->topology) {
        say_failure(p, plan, p->topology_failed ? p->topology_failed : "topology not known");
        return 0;
    }
    rc = read_masks(&b, p, err);
    if (rc < 0)
        goto out;
    if (make_plan(&b, p, &why) < 0) {
        say_failure(p, plan, why.text);
        goto out;
    }
    for (size_t i = 0; i < b.plan.rank_count; i++) {
        put_rank(p, plan, i, &b.plan);
        ranks[i] = summary_of(p, &b.plan.ranks[i]);
    }
    put_gpu_order(p, plan, &b.plan);
    if (!b.plan.stand_back)
        put_slurm_truth(plan, &b.plan);
    say_binding(p, plan, &b.plan);
out:
    binding_fini(&b);
    return rc;
}
