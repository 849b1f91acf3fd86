/* SPDX-License-Identifier: Apache-2.0 */
/* Where CPUs and devices are, in one line: what a job's nodes must have alike for one binding to fit all.
 * Addresses are left out: EC2 promises none. The whole topology is lib/topology's. */
#include <stdio.h>
#include <string.h>

#include "facts/system.h"

enum { NODES_MAX = 64 };

/* "4+4": devices by NUMA node; those that tell no node are "?". false: the list is not known. */
static bool count_devices(const json_t *devices, long long nodes, char *text, size_t size)
{
    long long count[NODES_MAX] = {0}, elsewhere = 0;
    size_t len = 0;
    if (!json_is_array(devices))
        return false;
    for (size_t i = 0; i < json_array_size(devices); i++) {
        const json_t *numa = json_object_get(json_array_get(devices, i), "numa");
        long long node = json_is_integer(numa) ? json_integer_value(numa) : -1;
        if (node >= 0 && node < nodes && node < NODES_MAX)
            count[node]++;
        else
            elsewhere++;
    }
    text[0] = '\0';
    for (long long node = 0; node < nodes && node < NODES_MAX && len < size - 24; node++)
        len += (size_t)snprintf(text + len, size - len, "%s%lld", node ? "+" : "", count[node]);
    if (elsewhere)
        snprintf(text + len, size - len, "%s%lld?", len ? "+" : "", elsewhere);
    return true;
}

void dt_read_placement(struct dt_reader *reader)
{
    const json_t *cpus = json_object_get(reader->doc, "cpu.list");
    const json_t *numa = json_object_get(reader->doc, "numa.count");
    long long nodes = json_integer_value(numa);
    char text[512], devices[160];
    if (!json_is_string(cpus) || nodes < 1)
        return; /* why.cpu.online, why.numa.count */
    int len = snprintf(text, sizeof text, "CPUs %.128s in %lld NUMA node%s",
                       json_string_value(cpus), nodes, nodes == 1 ? "" : "s");
    size_t at = (size_t)len;
    if (count_devices(json_object_get(reader->doc, "gpu.devices"), nodes, devices, sizeof devices))
        at += (size_t)snprintf(text + at, sizeof text - at, ", GPUs %s", devices);
    if (count_devices(json_object_get(reader->doc, "efa.devices"), nodes, devices, sizeof devices))
        snprintf(text + at, sizeof text - at, ", EFA %s", devices);
    dt_reader_string(reader, "topology.summary", text);
}
