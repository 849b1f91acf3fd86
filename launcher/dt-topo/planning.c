/* SPDX-License-Identifier: Apache-2.0 */
/* The plan for the ranks of a command line, and who has what in it. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/exitcode.h"
#include "dt-topo.h"

char *cpus_text(hwloc_const_bitmap_t cpus)
{
    char *text = NULL;
    return hwloc_bitmap_list_asprintf(&text, cpus) < 0 ? NULL : text;
}

static bool names_device(const char *word, size_t len, const struct dt_device *device,
                         size_t number)
{
    char *end;
    unsigned long value = strtoul(word, &end, 10);

    if (len > 0 && *word >= '0' && *word <= '9' && end == word + len)
        return value == number;
    return (strlen(device->id) == len && strncasecmp(device->id, word, len) == 0) ||
           (strlen(device->bdf) == len && strncasecmp(device->bdf, word, len) == 0);
}

static int take_word(struct planning *planning, const struct dt_topology *topology,
                     const char *word, size_t len, struct dt_error *err)
{
    for (size_t i = 0; i < topology->accelerator_count; i++) {
        if (!names_device(word, len, &topology->accelerators[i], i))
            continue;
        for (size_t k = 0; k < planning->gpu_count; k++)
            if (planning->gpus[k] == i)
                return dt_error_set(err, "--gpus names '%.*s' twice", (int)len, word);
        planning->gpus[planning->gpu_count++] = i;
        return 0;
    }
    return dt_error_set(err, "--gpus: no '%.*s' among the %zu accelerators of this machine",
                        (int)len, word, topology->accelerator_count);
}

/* In the order of the list: that is how programs count them. */
static int take_gpus(struct planning *planning, const struct dt_topology *topology,
                     const char *list, struct dt_error *err)
{
    size_t room = topology->accelerator_count;

    planning->gpus = calloc(room ? room : 1, sizeof(size_t));
    if (!planning->gpus)
        return dt_error_set(err, "out of memory");
    while (*list) {
        size_t len = strcspn(list, ",");
        if (take_word(planning, topology, list, len, err))
            return -1;
        list += len + (list[len] == ',');
    }
    return 0;
}

static int take_allowed(struct planning *planning, const struct dt_topology *topology,
                        const char *list, struct dt_error *err)
{
    hwloc_const_bitmap_t all = hwloc_topology_get_topology_cpuset(topology->hwloc);
    char *here;

    planning->allowed = list ? hwloc_bitmap_alloc() : hwloc_bitmap_dup(all);
    if (!planning->allowed)
        return dt_error_set(err, "out of memory");
    if (!list || (strspn(list, "0123456789,-") == strlen(list) &&
                  hwloc_bitmap_list_sscanf(planning->allowed, list) == 0 &&
                  hwloc_bitmap_weight(planning->allowed) > 0 &&
                  hwloc_bitmap_isincluded(planning->allowed, all)))
        return 0;
    here = cpus_text(all);
    dt_error_set(err, "--allowed=%s must be a list of this machine's CPUs, which are %s", list,
                 here ? here : "not known");
    free(here);
    return -1;
}

int planning_make(struct planning *planning, const struct dt_topology *topology,
                  const struct options *o, struct dt_error *err)
{
    hwloc_const_bitmap_t *masks;
    int code = DT_EXIT_NO_PLAN;

    memset(planning, 0, sizeof(*planning));
    if (o->ranks == 0)
        return 0;
    masks = calloc(o->ranks, sizeof(hwloc_const_bitmap_t));
    if (!masks) {
        dt_error_set(err, "out of memory");
        return DT_EXIT_NO_PLAN;
    }
    if ((o->gpus && take_gpus(planning, topology, o->gpus, err)) ||
        take_allowed(planning, topology, o->allowed, err))
        goto out;
    for (size_t r = 0; r < o->ranks; r++)
        masks[r] = planning->allowed;
    struct dt_bind_request request = {
        .topology = topology,
        .ranks = o->ranks,
        .allowed = masks,
        .memory = o->memory,
        .gpus = {.items = planning->gpus, .count = planning->gpu_count},
    };
    if (dt_bind_plan(&planning->plan, &request, err) == 0)
        code = 0;
out:
    free(masks);
    return code;
}

void planning_fini(struct planning *planning)
{
    dt_bind_plan_fini(&planning->plan);
    hwloc_bitmap_free(planning->allowed);
    free(planning->gpus);
}

struct owners owners_of_pus(const struct dt_bind_plan *plan, hwloc_const_bitmap_t pus)
{
    struct owners owners = {0};

    for (size_t r = plan->rank_count; r-- > 0;) {
        if (!hwloc_bitmap_intersects(plan->ranks[r].cpus, pus))
            continue;
        owners.first = r;
        owners.count++;
    }
    return owners;
}

struct owners owners_of_device(const struct dt_bind_plan *plan, size_t index, bool nic)
{
    struct owners owners = {0};

    for (size_t r = plan->rank_count; r-- > 0;) {
        const struct dt_bind_rank *rank = &plan->ranks[r];
        const size_t *list = nic ? rank->nics : rank->accelerators;
        size_t count = nic ? rank->nic_count : rank->accelerator_count;
        for (size_t i = 0; i < count; i++) {
            if (list[i] != index)
                continue;
            owners.first = r;
            owners.count++;
            break;
        }
    }
    return owners;
}
