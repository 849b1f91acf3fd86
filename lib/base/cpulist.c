/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of CPUs; see cpulist.h. */
#include "base/cpulist.h"

#include <stdlib.h>

static bool add_list(const char *list, cpu_set_t *cpus)
{
    while (*list && *list != '\n') {
        char *end;
        long first = strtol(list, &end, 10), last = first;
        if (end == list || first < 0)
            return false;
        if (*end == '-')
            last = strtol(end + 1, &end, 10);
        for (long cpu = first; cpu <= last && cpu < CPU_SETSIZE; cpu++)
            CPU_SET((size_t)cpu, cpus);
        list = *end == ',' ? end + 1 : end;
        if (*end && *end != ',' && *end != '\n')
            return false;
    }
    return true;
}

bool dt_cpus_read(const struct dt_root *root, cpu_set_t *cpus, const char *path)
{
    char list[4096];
    CPU_ZERO(cpus);
    return dt_root_read(root, list, sizeof list, "%s", path) > 0 && add_list(list, cpus);
}
