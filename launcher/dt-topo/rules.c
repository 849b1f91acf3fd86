/* SPDX-License-Identifier: Apache-2.0 */
/* The simple rules: Slurm's default and linear order. */
#include "rules.h"

/* GPUs by local rank: a run each, or shared in turn when there are fewer than ranks. */
static void gpus_by_rank(const struct rule_input *in, struct dt_bind_rank *ranks, size_t count)
{
    for (size_t r = 0; r < count && in->gpu_count > 0; r++) {
        size_t first = r * in->gpu_count / count, end = (r + 1) * in->gpu_count / count;
        if (in->gpu_count < count) {
            first = r % in->gpu_count;
            end = first + 1;
        }
        for (size_t g = first; g < end; g++)
            ranks[r].accelerators[ranks[r].accelerator_count++] = in->gpus[g];
    }
}

/* One object each, when there are just as many with allowed PUs in them as ranks. */
static bool bind_to(const struct rule_input *in, hwloc_obj_type_t type, struct dt_bind_rank *ranks,
                    size_t count)
{
    hwloc_obj_t object = NULL;
    size_t found = 0;

    while ((object = hwloc_get_next_obj_by_type(in->topology->hwloc, type, object))) {
        if (!hwloc_bitmap_intersects(object->cpuset, in->allowed))
            continue;
        if (found < count)
            hwloc_bitmap_and(ranks[found].cpus, object->cpuset, in->allowed);
        found++;
    }
    return found == count;
}

int rule_slurm(const struct rule_input *in, struct dt_bind_rank *ranks, size_t count)
{
    gpus_by_rank(in, ranks, count);
    if (count > 1 &&
        (bind_to(in, HWLOC_OBJ_PACKAGE, ranks, count) ||
         bind_to(in, HWLOC_OBJ_CORE, ranks, count) || bind_to(in, HWLOC_OBJ_PU, ranks, count)))
        return 0;
    for (size_t r = 0; r < count; r++)
        if (hwloc_bitmap_copy(ranks[r].cpus, in->allowed))
            return -1;
    return 0;
}

int rule_linear(const struct rule_input *in, struct dt_bind_rank *ranks, size_t count)
{
    size_t pus = (size_t)hwloc_bitmap_weight(in->allowed), at = 0;
    int pu;

    gpus_by_rank(in, ranks, count);
    for (pu = hwloc_bitmap_first(in->allowed); pu >= 0; pu = hwloc_bitmap_next(in->allowed, pu)) {
        /* with fewer PUs than ranks each PU serves several */
        size_t first = pus >= count ? at * count / pus : (at * count + pus - 1) / pus;
        size_t end = pus >= count ? first + 1 : ((at + 1) * count + pus - 1) / pus;
        for (size_t r = first; r < end && r < count; r++)
            if (hwloc_bitmap_set(ranks[r].cpus, (unsigned)pu))
                return -1;
        at++;
    }
    return 0;
}
