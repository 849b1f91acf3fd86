/* SPDX-License-Identifier: Apache-2.0 */
/* Topology files of anyone's making: hwloc XML, NCCL XML and override files. What can be read can be
 * planned for, and then every rank has a CPU. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bind/bind.h"
#include "topology/topology.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "broken: %s\n", what);
    abort();
}

static void plan(const struct dt_topology *topology)
{
    hwloc_const_bitmap_t all = hwloc_topology_get_topology_cpuset(topology->hwloc);
    hwloc_const_bitmap_t allowed[3] = {all, all, all};
    struct dt_bind_request request = {.topology = topology, .ranks = 3, .allowed = allowed};
    struct dt_bind_plan made;
    struct dt_error err;

    require(dt_bind_plan(&made, &request, &err) == 0, "a topology without a plan");
    for (size_t r = 0; r < made.rank_count; r++) {
        require(!hwloc_bitmap_iszero(made.ranks[r].cpus), "a rank without a CPU");
        require(hwloc_bitmap_isincluded(made.ranks[r].cpus, all), "a CPU that is not there");
    }
    dt_bind_plan_fini(&made);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char base[] =
        "<system><cpu numaid=\"0\" affinity=\"ff\"><pci busid=\"0000:10:1c.0\" class=\"0x030200\"/>"
        "<pci busid=\"0000:10:1b.0\" class=\"0x020000\" vendor=\"0x1d0f\"/></cpu></system>";
    struct dt_topology topology;
    struct dt_error err = {{0}};
    char *text = malloc(size + 1);

    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    if (dt_topology_parse(&topology, "fuzz", text, size, NULL, NULL, &err) == 0) {
        hwloc_topology_check(topology.hwloc);
        if (hwloc_get_nbobjs_by_type(topology.hwloc, HWLOC_OBJ_PU) <= 256)
            plan(&topology);
        dt_topology_fini(&topology);
    } else {
        require(*err.text, "a failure without a sentence");
    }
    require(dt_topology_parse(&topology, "base", base, sizeof(base) - 1, NULL, NULL, &err) == 0,
            err.text);
    err.text[0] = '\0';
    if (dt_topology_override_text(&topology, "fuzz", text, size, &err))
        require(*err.text, "a refusal without a sentence");
    plan(&topology);
    dt_topology_fini(&topology);
    free(text);
    return 0;
}
