/* SPDX-License-Identifier: Apache-2.0 */
/* CPU sets of any size: "0-7,96-103" to a mask and back, and the mask a task really has. */
#include "text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CPU_LIMIT 1048576ul /* a CPU number above this is a broken list, not a machine */

void cpus_fini(struct cpus *cpus)
{
    free(cpus->set);
    *cpus = (struct cpus){0};
}

static int cpus_init(struct cpus *cpus, size_t count)
{
    cpus->size = CPU_ALLOC_SIZE(count);
    cpus->set = calloc(1, cpus->size);
    return cpus->set ? 0 : -1;
}

/* "3" or "3-7" at *list; steps behind the comma that follows. */
static int next_range(const char **list, size_t *first, size_t *last)
{
    const char *c = *list;
    char *stop;
    if (*c < '0' || *c > '9')
        return -1;
    *first = *last = strtoul(c, &stop, 10);
    if (*stop == '-') {
        c = stop + 1;
        if (*c < '0' || *c > '9')
            return -1;
        *last = strtoul(c, &stop, 10);
    }
    if (*last < *first || *last >= CPU_LIMIT || (*stop && *stop != ','))
        return -1;
    if (*stop == ',' && !stop[1])
        return -1;
    *list = *stop ? stop + 1 : stop;
    return 0;
}

int cpus_parse(struct cpus *cpus, const char *list)
{
    size_t first, last, highest = 0;
    *cpus = (struct cpus){0};
    if (!*list)
        return -1;
    for (const char *c = list; *c;) {
        if (next_range(&c, &first, &last) < 0)
            return -1;
        highest = last > highest ? last : highest;
    }
    if (cpus_init(cpus, highest + 1) < 0)
        return -1;
    for (const char *c = list; *c;) {
        next_range(&c, &first, &last);
        for (size_t cpu = first; cpu <= last; cpu++)
            CPU_SET_S(cpu, cpus->size, cpus->set);
    }
    return 0;
}

void cpus_format(struct text *text, const struct cpus *cpus)
{
    size_t count = cpus->size * 8;
    const char *comma = "";
    for (size_t cpu = 0; cpu < count; cpu++) {
        if (!CPU_ISSET_S(cpu, cpus->size, cpus->set))
            continue;
        size_t last = cpu;
        while (last + 1 < count && CPU_ISSET_S(last + 1, cpus->size, cpus->set))
            last++;
        text_printf(text, last > cpu ? "%s%zu-%zu" : "%s%zu", comma, cpu, last);
        comma = ",";
        cpu = last;
    }
}

int cpus_of_task(struct cpus *cpus, pid_t pid)
{
    /* The kernel answers EINVAL while the set is smaller than its own. */
    for (size_t count = 1024; count <= CPU_LIMIT; count *= 4) {
        if (cpus_init(cpus, count) < 0)
            return -ENOMEM;
        if (sched_getaffinity(pid, cpus->size, cpus->set) == 0)
            return 0;
        int error = errno;
        cpus_fini(cpus);
        if (error != EINVAL)
            return -error;
    }
    return -EINVAL;
}

bool cpus_equal(const struct cpus *a, const struct cpus *b)
{
    size_t count = (a->size > b->size ? a->size : b->size) * 8;
    for (size_t cpu = 0; cpu < count; cpu++) {
        bool in_a = cpu < a->size * 8 && CPU_ISSET_S(cpu, a->size, a->set);
        bool in_b = cpu < b->size * 8 && CPU_ISSET_S(cpu, b->size, b->set);
        if (in_a != in_b)
            return false;
    }
    return true;
}
