/* SPDX-License-Identifier: Apache-2.0 */
/* Accelerators between Slurm, the user and the plan: which the job was given, who chose them for
 * each task, and what a rank sees of them. */
#include "planner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- what the job was given ------------------------------------------------------------------ */

/* "2" or "GPU-5f2e..." (shortened as CUDA allows) to an index of the topology; -1: none. Programs
 * and Slurm count GPUs in PCI order. */
static long find_gpu(const struct dt_topology *t, const char *word, size_t len)
{
    char *stop;
    long found = -1;
    if (len > 0 && strspn(word, "0123456789") >= len) {
        unsigned long index = strtoul(word, &stop, 10);
        return index < t->accelerator_count ? (long)index : -1;
    }
    for (size_t a = 0; len > 4 && a < t->accelerator_count; a++) {
        if (strncasecmp(t->accelerators[a].id, word, len) != 0)
            continue;
        if (found >= 0)
            return -1; /* two begin so */
        found = (long)a;
    }
    return found;
}

/* As CUDA does: up to the first word that names no GPU, or one twice. */
static void take_list(struct planner_gpus *gpus, const struct dt_topology *t, const char *text)
{
    gpus->given_count = 0;
    while (*text) {
        size_t len = strcspn(text, ",");
        long gpu = find_gpu(t, text, len);
        for (size_t i = 0; gpu >= 0 && i < gpus->given_count; i++)
            gpu = gpus->given[i] == (size_t)gpu ? -1 : gpu;
        if (gpu < 0)
            return;
        gpus->given[gpus->given_count++] = (size_t)gpu;
        text += len + (text[len] == ',');
    }
}

/* Slurm sets its variables and CUDA's together; a CUDA_VISIBLE_DEVICES alone is the user's. */
static void take_job(const struct planner *p, struct planner_gpus *gpus)
{
    const struct dt_request *r = p->request;
    const char *visible = dt_request_getenv(r, "CUDA_VISIBLE_DEVICES");
    const char *ordinal = dt_request_getenv(r, "GPU_DEVICE_ORDINAL");
    const char *slurm = dt_request_getenv(r, "SLURM_STEP_GPUS");
    if (!slurm && visible && ordinal && strcmp(visible, ordinal) == 0)
        slurm = dt_request_getenv(r, "SLURM_JOB_GPUS");
    if (slurm && *slurm)
        take_list(gpus, p->topology, slurm);
    else if (visible && !slurm)
        take_list(gpus, p->topology, gpus->users = visible);
    gpus->known = gpus->given_count > 0;
}

/* ---- what Slurm gave each task --------------------------------------------------------------- */

/* The number at the end of "--gpus-per-task=a100:2" or "per_task:2"; 0: none. */
static size_t number_at_end(const char *text)
{
    const char *digits = text + strlen(text);
    while (digits > text && digits[-1] >= '0' && digits[-1] <= '9')
        digits--;
    return *digits ? strtoul(digits, NULL, 10) : 0;
}

static void give(struct planner_gpus *gpus, size_t rank, size_t position)
{
    struct dt_bind_list *list = &gpus->own[rank];
    if (position < gpus->given_count)
        gpus->own_items[rank * gpus->given_count + list->count++] = gpus->given[position];
}

/* "map_gpu:1,0": task i has the i-th, and from the first again. */
static bool give_mapped(struct planner_gpus *gpus, size_t ranks, const char *map)
{
    const char *c = map;
    if (!*map || strspn(map, "0123456789,") != strlen(map))
        return false;
    for (size_t rank = 0; rank < ranks; rank++) {
        give(gpus, rank, strtoul(c, NULL, 10));
        c += strcspn(c, ",");
        c = *c && c[1] ? c + 1 : map;
    }
    return true;
}

/* false: which GPU is whose is Slurm's secret until the tasks start. */
static bool give_own(struct planner_gpus *gpus, size_t ranks, const char *who)
{
    const char *map = strstr(who, "map_gpu:");
    size_t number = number_at_end(who);
    bool single =
        strstr(who, "single:") || strstr(who, "ntasks-per-gpu") || strstr(who, "NTASKS_PER_GPU");
    bool several =
        strstr(who, "per_task:") || strstr(who, "gpus-per-task") || strstr(who, "GPUS_PER_TASK");
    if (map)
        return give_mapped(gpus, ranks, map + strlen("map_gpu:"));
    if (!number || number > gpus->given_count * ranks || (!single && !several))
        return false;
    for (size_t rank = 0; rank < ranks; rank++) {
        if (single)
            give(gpus, rank, rank / number % gpus->given_count);
        for (size_t i = 0; !single && i < number; i++)
            give(gpus, rank, rank * number + i);
    }
    return true;
}

/* One task sees all whatever Slurm was told. */
static int take_own(const struct planner *p, struct planner_gpus *gpus, struct dt_error *err)
{
    size_t ranks = (size_t)p->request->local_tasks;
    if (!p->request->gpus_bound || ranks < 2 || !gpus->known || gpus->users)
        return 0;
    gpus->own = calloc(ranks, sizeof *gpus->own);
    gpus->own_items = calloc(ranks * gpus->given_count, sizeof *gpus->own_items);
    if (!gpus->own || !gpus->own_items)
        return dt_error_set(err, "out of memory");
    for (size_t rank = 0; rank < ranks; rank++)
        gpus->own[rank].items = &gpus->own_items[rank * gpus->given_count];
    if (!give_own(gpus, ranks, p->request->gpus_bound)) {
        free(gpus->own);
        gpus->own = NULL;
    }
    return 0;
}

int planner_find_gpus(const struct planner *p, struct planner_gpus *gpus, struct dt_error *err)
{
    *gpus = (struct planner_gpus){0};
    if (p->topology->kind != DT_ACCELERATOR_NVIDIA)
        return 0;
    gpus->given = calloc(p->topology->accelerator_count + 1, sizeof *gpus->given);
    if (!gpus->given)
        return dt_error_set(err, "out of memory");
    take_job(p, gpus);
    return take_own(p, gpus, err);
}

void planner_gpus_fini(struct planner_gpus *gpus)
{
    free(gpus->given);
    free(gpus->own);
    free(gpus->own_items);
    *gpus = (struct planner_gpus){0};
}

/* ---- what a rank sees ------------------------------------------------------------------------ */

/* Only whole GPUs that CUDA knows by a name of their own can be listed. */
static bool has_uuid(const struct dt_device *device)
{
    return strncmp(device->id, "GPU-", 4) == 0 && !device->partitioned;
}

/* Programs take device LOCAL_RANK of those that they see. With one GPU a rank, the order of the
 * list makes that the planned one, and peers stay visible; hiding them would break these programs.
 */
static void put_order(const struct planner *p, struct dt_buf *plan, const struct dt_bind_plan *b)
{
    struct dt_buf ids = DT_BUF_INIT;
    bool fits = b->rank_count > 1;
    for (size_t i = 0; fits && i < b->rank_count; i++) {
        const struct dt_bind_rank *r = &b->ranks[i];
        const struct dt_device *gpu =
            r->accelerator_count == 1 ? &p->topology->accelerators[r->accelerators[0]] : NULL;
        /* Ranks that share a GPU can not be told apart by position: CUDA ends a list at the first
         * repetition. */
        fits = gpu && has_uuid(gpu) && !(ids.data && strstr(ids.data, gpu->id));
        dt_buf_printf(&ids, "%s%s", i ? "," : "", gpu ? gpu->id : "");
    }
    char *list = dt_buf_take(&ids);
    if (fits && list)
        dt_plan_all_default(plan, "CUDA_VISIBLE_DEVICES", list);
    free(list);
}

/* gpus=own: each rank sees its own and no other, as device 0. By name, since numbers count anew where
 * a container or cgroup hides devices. */
static void put_own(const struct planner *p, struct dt_buf *plan, const struct dt_bind_plan *b)
{
    for (size_t rank = 0; rank < b->rank_count; rank++) {
        const struct dt_bind_rank *r = &b->ranks[rank];
        bool fits = r->accelerator_count > 0;
        for (size_t i = 0; i < r->accelerator_count; i++)
            fits &= has_uuid(&p->topology->accelerators[r->accelerators[i]]);
        char *list =
            planner_device_ids(p->topology->accelerators, r->accelerators, r->accelerator_count);
        if (fits && list)
            dt_plan_rank_set(plan, rank, "CUDA_VISIBLE_DEVICES", list);
        plan->failed |= !list;
        free(list);
    }
}

/* NeuronCores before a device, and of it. 0: not known, an old driver tells no count. */
static long long neuron_cores(const struct dt_root *root, size_t device, long long *before)
{
    long long count = 0;
    *before = 0;
    for (size_t d = 0; d <= device; d++) {
        *before += count;
        if (dt_root_read_long(root, &count, "sys/class/neuron_device/neuron%zu/core_count", d) < 0)
            return 0;
    }
    return count;
}

/* How many ranks share the device, and which of them this one is. */
static size_t sharers(const struct dt_bind_plan *b, size_t device, size_t rank, size_t *place)
{
    size_t count = 0;
    for (size_t i = 0; i < b->rank_count; i++) {
        const struct dt_bind_rank *r = &b->ranks[i];
        for (size_t a = 0; a < r->accelerator_count; a++) {
            *place = i == rank && r->accelerators[a] == device ? count : *place;
            count += r->accelerators[a] == device;
        }
    }
    return count;
}

static void put_neuron(const struct planner *p, struct dt_buf *plan, const struct dt_bind_plan *b)
{
    for (size_t rank = 0; rank < b->rank_count; rank++) {
        const struct dt_bind_rank *r = &b->ranks[rank];
        struct dt_buf list = DT_BUF_INIT;
        bool fits = r->accelerator_count > 0;
        for (size_t i = 0; fits && i < r->accelerator_count; i++) {
            long long before, cores;
            size_t place = 0, users = sharers(b, r->accelerators[i], rank, &place);
            cores = neuron_cores(&p->engine->root, r->accelerators[i], &before);
            long long first = before + cores * (long long)place / (long long)users;
            long long last = before + cores * (long long)(place + 1) / (long long)users - 1;
            fits = cores > 0 && last >= first;
            dt_buf_printf(&list, last > first ? "%s%lld-%lld" : "%s%lld", i ? "," : "", first,
                          last);
        }
        if (fits && list.data)
            dt_plan_rank_default(plan, rank, "NEURON_RT_VISIBLE_CORES", list.data);
        plan->failed |= list.failed;
        dt_buf_fini(&list);
    }
}

void planner_put_gpus(const struct planner *p, const struct planner_gpus *gpus,
                      const struct dt_bind_plan *b, struct dt_buf *plan)
{
    bool own = planner_has(p->request->bind, "gpus=own");
    if (planner_has(p->request->bind, "gpus=off") || gpus->users || p->request->gpus_bound)
        return;
    if (p->topology->kind == DT_ACCELERATOR_NEURON && own)
        put_neuron(p, plan, b);
    else if (p->topology->kind == DT_ACCELERATOR_NVIDIA && own && b->rank_count > 1)
        put_own(p, plan, b);
    else if (p->topology->kind == DT_ACCELERATOR_NVIDIA && !b->stand_back)
        put_order(p, plan, b);
}
