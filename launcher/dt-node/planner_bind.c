/* SPDX-License-Identifier: Apache-2.0 */
/* Cores, memory and devices of each rank, and variables that tell the truth about them. */
#include "planner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bind/bind.h"

struct binding {
    struct dt_bind_plan plan;
    struct planner_gpus gpus;
    hwloc_bitmap_t *masks;
    size_t count;
};

static void binding_fini(struct binding *b)
{
    dt_bind_plan_fini(&b->plan);
    planner_gpus_fini(&b->gpus);
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

/* Without srun's word: Slurm rewrites its automatic choices to a mask, so these types come from the
 * user alone. */
static bool looks_bound(const struct dt_request *request)
{
    static const char *const own[] = {"none", "rank", "map_cpu", "map_ldom", "mask_ldom"};
    const char *type = dt_request_getenv(request, "SLURM_CPU_BIND_TYPE");
    for (size_t i = 0; type && i < sizeof own / sizeof *own; i++) {
        if (strncmp(type, own[i], strlen(own[i])) == 0)
            return true;
    }
    return false;
}

/* Where there is no word for memory, nearness is a preference. */
static const char *memory_policy(const struct dt_request *request)
{
    static const char *const known[] = {"bind", "interleave", "local"};
    const char *comma = strchr(request->bind, ',');
    for (size_t i = 0; comma && i < sizeof known / sizeof *known; i++) {
        if (planner_has(comma + 1, known[i]))
            return known[i];
    }
    return "preferred";
}

static int make_plan(struct binding *b, const struct planner *p, struct dt_error *err)
{
    const struct dt_request *r = p->request;
    const char *who = r->cpus_bound ? r->cpus_bound : r->program_binds;
    /* Slurm chooses in a way that is not known here: then there is none to plan with */
    bool secret = r->gpus_bound && !b->gpus.own && b->count > 1;
    struct dt_bind_request request = {
        .topology = p->topology,
        .ranks = b->count,
        .allowed = (const hwloc_const_bitmap_t *)b->masks,
        .user_visible_devices = b->gpus.users,
        .user_bound = r->bound_known ? who != NULL : looks_bound(r),
        .bound_by = who,
        .refine = r->bound_known,
        .gpus = {b->gpus.known || secret ? b->gpus.given : NULL, secret ? 0 : b->gpus.given_count},
        .own = b->gpus.own,
        .memory = memory_policy(r),
        .reserve = planner_number(r->bind, "reserve="),
        .loaders = planner_number(r->bind, "loaders="),
    };
    return dt_bind_plan(&b->plan, &request, err);
}

static char *list_text(hwloc_const_bitmap_t bitmap)
{
    char *text = NULL;
    return hwloc_bitmap_list_asprintf(&text, bitmap) < 0 ? NULL : text;
}

char *planner_device_ids(const struct dt_device *devices, const size_t *indices, size_t count)
{
    struct dt_buf ids = DT_BUF_INIT;
    for (size_t i = 0; i < count; i++)
        dt_buf_printf(&ids, "%s%s", i ? "," : "", devices[indices[i]].id);
    return dt_buf_take(&ids);
}

/* A rank's variable with a malloc'd value, which is freed; `bound`: only where it was bound. */
static void set_owned(struct dt_buf *plan, size_t rank, const char *name, char *value, bool bound)
{
    if (!value)
        plan->failed = true;
    else if (bound)
        dt_plan_rank_bind_set(plan, rank, name, value);
    else
        dt_plan_rank_set(plan, rank, name, value);
    free(value);
}

static void set_number(struct dt_buf *plan, size_t rank, const char *name, size_t number)
{
    char text[24];
    snprintf(text, sizeof text, "%zu", number);
    dt_plan_rank_bind_set(plan, rank, name, text);
}

static void put_memory(const struct planner *p, struct dt_buf *plan, size_t rank,
                       const struct dt_bind_rank *r)
{
    const char *policy = memory_policy(p->request);
    char *nodes = NULL, *word = NULL;
    if (p->request->memory_bound ||
        (strcmp(policy, "local") != 0 && hwloc_bitmap_iszero(r->numa))) {
        dt_plan_rank_bind_set(plan, rank, "DT_BIND_MEMORY",
                              p->request->memory_bound ? "kept" : "default");
        return;
    }
    nodes = strcmp(policy, "local") == 0 ? strdup("") : list_text(r->numa);
    if (nodes && asprintf(&word, "%s%s%s", policy, *nodes ? ":" : "", nodes) >= 0) {
        dt_plan_rank_memory(plan, rank, policy, nodes);
        set_owned(plan, rank, "DT_BIND_MEMORY", word, true);
    } else {
        plan->failed = true;
    }
    free(nodes);
}

static void put_cpus(const struct planner *p, struct dt_buf *plan, size_t rank,
                     const struct dt_bind_rank *r)
{
    char threads[24];
    char *cpus = list_text(r->cpus);
    dt_plan_rank_found(plan, rank, p->masks[rank]);
    if (cpus)
        dt_plan_rank_cpus(plan, rank, cpus);
    else
        plan->failed = true;
    free(cpus);
    put_memory(p, plan, rank, r);
    snprintf(threads, sizeof threads, "%zu", r->omp_threads);
    dt_plan_rank_bind_default(plan, rank, "OMP_NUM_THREADS", threads);
    /* so that a launcher below can tell this number from the user's own */
    if (!dt_request_getenv(p->request, "OMP_NUM_THREADS"))
        dt_plan_rank_bind_set(plan, rank, "DT_BIND_OMP", threads);
    set_number(plan, rank, "DT_BIND_LOADERS", r->loader_workers);
    if (!hwloc_bitmap_iszero(r->reserved))
        set_owned(plan, rank, "DT_BIND_RESERVED", list_text(r->reserved), true);
}

static void put_rank(const struct planner *p, struct dt_buf *plan, size_t rank,
                     const struct dt_bind_plan *b)
{
    const struct dt_bind_rank *r = &b->ranks[rank];
    const struct dt_topology *t = p->topology;
    if (!b->stand_back)
        put_cpus(p, plan, rank, r);
    set_owned(plan, rank, "DT_BIND_CPUS", list_text(r->cpus), !b->stand_back);
    set_owned(plan, rank, "DT_BIND_GPUS",
              planner_device_ids(t->accelerators, r->accelerators, r->accelerator_count), false);
    set_owned(plan, rank, "DT_BIND_NICS", planner_device_ids(t->nics, r->nics, r->nic_count),
              false);
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
        dt_plan_all_bind_set(plan, "SLURM_CPU_BIND", text);
        dt_plan_all_bind_set(plan, "SLURM_CPU_BIND_VERBOSE", "quiet");
        dt_plan_all_bind_set(plan, "SLURM_CPU_BIND_TYPE", "mask_cpu:");
        dt_plan_all_bind_set(plan, "SLURM_CPU_BIND_LIST", masks);
    } else {
        plan->failed = true;
    }
    free(masks);
    free(text);
}

/* Below dt-gather's table, and in its style. */
static void say(struct dt_buf *plan, const char *text)
{
    struct dt_buf line = DT_BUF_INIT;
    dt_buf_printf(&line, "  bind: %s", text);
    planner_say(plan, line.data ? line.data : "");
    dt_buf_fini(&line);
}

static void say_binding(const struct planner *p, struct dt_buf *plan, const struct dt_bind_plan *b)
{
    bool stood_back = b->stand_back && p->request->node_id == 0 && p->request->het_group <= 0;
    if (!planner_speaks(p, p->request->bind) && !stood_back)
        return;
    if (!planner_is(p->request->bind, "explain")) {
        say(plan, b->summary);
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

/* An override that does not fit the node's devices: the plan is made without it. */
static void say_override(const struct planner *p, struct dt_buf *plan)
{
    struct dt_buf line = DT_BUF_INIT;
    if (!p->topology_failed || !*p->topology_failed)
        return;
    dt_buf_printf(&line, "warning: on %s %s", p->request->node_name, p->topology_failed);
    planner_say(plan, line.data ? line.data : "");
    dt_buf_fini(&line);
}

/* Once: by the first node, whether or not it speaks of what went well. */
static void say_manners(const struct planner *p, struct dt_buf *plan, const struct binding *b)
{
    const struct dt_request *r = p->request;
    struct dt_buf line = DT_BUF_INIT;
    if (!planner_is_first_node(p) || b->plan.stand_back)
        return;
    if (r->memory_bound)
        dt_buf_printf(&line, "%s chose the memory policy; it is left alone", r->memory_bound);
    if (r->gpus_bound && b->count > 1)
        dt_buf_printf(&line, "%s%s gave GPUs to each task; they are left alone%s",
                      line.len ? "; " : "", r->gpus_bound,
                      b->gpus.own ? ", and cores are near them"
                                  : ", and which is whose is not known before the start");
    if (line.len)
        say(plan, line.data);
    plan->failed |= line.failed;
    dt_buf_fini(&line);
}

/* A launcher that starts several ranks in one task binds them as its user asked dt to, unless srun's
 * own options bound the task. A program such as taskset narrows the task's mask, and is no reason. */
static void put_mode(const struct planner *p, struct dt_buf *plan)
{
    const struct dt_request *r = p->request;
    struct dt_buf words = DT_BUF_INIT;
    if (r->bound_known ? r->cpus_bound != NULL : looks_bound(r))
        return;
    dt_buf_puts(&words, r->bind);
    if (r->nic && planner_wants(r->nic))
        dt_buf_printf(&words, ",nic=%s", r->nic);
    dt_plan_all_set(plan, "DT_BIND_MODE", words.data ? words.data : "");
    if (p->engine->config)
        dt_plan_all_set(plan, "DT_BIND_CONFIG", p->engine->config);
    plan->failed |= words.failed;
    dt_buf_fini(&words);
}

static struct planner_rank summary_of(const struct dt_bind_rank *r)
{
    return (struct planner_rank){.known = true,
                                 .cores = (int)r->cores,
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
    if (planner_find_gpus(p, &b.gpus, &why) < 0 || make_plan(&b, p, &why) < 0) {
        say_failure(p, plan, why.text);
        goto out;
    }
    for (size_t i = 0; i < b.plan.rank_count; i++) {
        put_rank(p, plan, i, &b.plan);
        ranks[i] = summary_of(&b.plan.ranks[i]);
    }
    planner_put_gpus(p, &b.gpus, &b.plan, plan);
    planner_put_nics(p, &b.plan, plan);
    put_mode(p, plan);
    if (!b.plan.stand_back)
        put_slurm_truth(plan, &b.plan);
    say_binding(p, plan, &b.plan);
    say_override(p, plan);
    say_manners(p, plan, &b);
out:
    binding_fini(&b);
    return rc;
}
