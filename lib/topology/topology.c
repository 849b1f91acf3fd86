/* SPDX-License-Identifier: Apache-2.0 */
/* Putting the model together: CPUs from the cache or by discovery, then devices, then groups. */
#include <stdlib.h>
#include <string.h>

#include "topology/internal.h"

static int load_cpus(struct dt_topology *topology, const struct dt_root *root,
                     const char *cache_directory, struct dt_error *err)
{
    char *path = dt_topology_cache_path(root, cache_directory);
    int rc = 0;

    if (!path || dt_topology_cache_read(&topology->hwloc, path)) {
        rc = dt_topology_cpu_discover(&topology->hwloc, root, err);
        if (rc == 0 && path)
            dt_topology_cache_write(topology->hwloc, path);
    }
    free(path);
    return rc;
}

int dt_topology_load(struct dt_topology *topology, const struct dt_root *root,
                     const struct dt_facts *facts, const struct dt_instance *instance,
                     const char *cache_directory, struct dt_error *err)
{
    memset(topology, 0, sizeof(*topology));
    if (load_cpus(topology, root, cache_directory, err) ||
        dt_topology_add_devices(topology, root, facts, instance, err) ||
        dt_topology_group_devices(topology, root, instance, err)) {
        dt_topology_fini(topology);
        return -1;
    }
    return 0;
}

static void devices_free(struct dt_device *devices, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(devices[i].id);
        free(devices[i].bdf);
    }
    free(devices);
}

void dt_topology_fini(struct dt_topology *topology)
{
    if (topology->hwloc)
        hwloc_topology_destroy(topology->hwloc);
    devices_free(topology->accelerators, topology->accelerator_count);
    devices_free(topology->nics, topology->nic_count);
    free(topology->source);
    memset(topology, 0, sizeof(*topology));
}
