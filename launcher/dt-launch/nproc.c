/* SPDX-License-Identifier: Apache-2.0 */
/* How many processes a node should get: visible GPUs, or cores that this process may run on. Every
 * node counts for itself, so a job on unequal nodes must give a number. */
#include <ctype.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/root.h"
#include "place.h"

#define CPUS_MAX 8192

/* Entries of a comma list. CUDA ends the list at the first -1; "NoDevFiles" is Slurm's "none". */
static int count_list(const char *text)
{
    int count = 0;
    while (*text) {
        size_t length = strcspn(text, ",");
        if (strncmp(text, "-1", 2) == 0 || strncmp(text, "NoDevFiles", 10) == 0)
            break;
        count += length > 0;
        text += length + (text[length] == ',');
    }
    return count;
}

static int count_gpus(const struct dt_root *root)
{
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    const char *bound = getenv("DT_BIND_GPUS");
    if (visible)
        return count_list(visible);
    if (bound)
        return count_list(bound);
    char **names;
    int count = dt_root_list(root, &names, "proc/driver/nvidia/gpus");
    if (count < 0)
        return 0;
    dt_names_free(names);
    return count;
}

/* Is this CPU the first allowed one of its core? */
static bool leads_core(const struct dt_root *root, const cpu_set_t *allowed, size_t size, int cpu)
{
    char siblings[256];
    if (dt_root_read(root, siblings, sizeof siblings,
                     "sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", cpu) <= 0)
        return true; /* no topology here: each CPU counts */
    for (const char *at = siblings; isdigit((unsigned char)*at);) {
        char *end;
        long low = strtol(at, &end, 10), high = low;
        if (*end == '-')
            high = strtol(end + 1, &end, 10);
        for (long sibling = low; sibling <= high && sibling < cpu; sibling++) {
            if (CPU_ISSET_S((size_t)sibling, size, allowed))
                return false;
        }
        at = *end == ',' ? end + 1 : end;
    }
    return true;
}

static int count_cores(const struct dt_root *root)
{
    cpu_set_t *allowed = CPU_ALLOC(CPUS_MAX);
    size_t size = CPU_ALLOC_SIZE(CPUS_MAX);
    int count = 0;
    if (!allowed)
        return 1;
    CPU_ZERO_S(size, allowed);
    if (sched_getaffinity(0, size, allowed) == 0) {
        for (int cpu = 0; cpu < CPUS_MAX; cpu++)
            count +=
                CPU_ISSET_S((size_t)cpu, size, allowed) && leads_core(root, allowed, size, cpu);
    }
    CPU_FREE(allowed);
    return count ? count : 1;
}

int dt_nproc_count(int nproc, int *count, struct dt_error *err)
{
    if (nproc >= 0) {
        *count = nproc ? nproc : 1;
        return 0;
    }
    struct dt_root root;
    if (dt_root_init(&root, NULL, err))
        return -1;
    *count = nproc == DT_NPROC_CPU ? 0 : count_gpus(&root);
    if (*count == 0 && nproc != DT_NPROC_GPU)
        *count = count_cores(&root);
    dt_root_fini(&root);
    if (*count == 0)
        return dt_error_set(err, "--nproc-per-node gpu: no GPU is visible here "
                                 "(CUDA_VISIBLE_DEVICES, DT_BIND_GPUS, /proc/driver/nvidia/gpus)");
    return 0;
}
