/* SPDX-License-Identifier: Apache-2.0 */
/* Putting the model together: CPUs from the cache or by discovery, then devices, then groups. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "topology/internal.h"

static int load_cpus(struct dt_topology *topology, const struct dt_root *root,
                     const char *cache_directory, struct dt_error *err)
{
    char *path = dt_topology_cache_path(root, cache_directory);
    int cached = path ? dt_topology_cache_read(&topology->hwloc, path) : 1, rc = 0;

    if (cached != 0) {
        rc = dt_topology_cpu_discover(&topology->hwloc, root, err);
        if (rc == 0 && cached < 0)
            dt_topology_cache_write(topology->hwloc, path);
    }
    free(path);
    return rc;
}

static int describe(struct dt_topology *topology, const struct dt_facts *facts,
                    struct dt_error *err)
{
    const char *machine = "";
    struct dt_buf notes = DT_BUF_INIT;
    size_t partitioned = 0;

    for (size_t i = 0; i < topology->accelerator_count; i++)
        partitioned += topology->accelerators[i].partitioned;
    dt_buf_puts(&notes, "");
    if (partitioned > 0)
        dt_buf_printf(&notes,
                      "%zu of %zu GPUs are in MIG mode: whoever gives out their instances does so "
                      "still; dt plans cores and memory only\n",
                      partitioned, topology->accelerator_count);
    dt_facts_string(facts, "instance.type", &machine);
    topology->machine = strdup(machine);
    topology->notes = dt_buf_take(&notes);
    return topology->machine && topology->notes
               ? 0
               : dt_error_set(err, "no memory left for the topology");
}

int dt_topology_load(struct dt_topology *topology, const struct dt_root *root,
                     const struct dt_facts *facts, const struct dt_instance *instance,
                     const char *cache_directory, struct dt_error *err)
{
    const char *from;

    memset(topology, 0, sizeof(*topology));
    if (load_cpus(topology, root, cache_directory, err) ||
        dt_topology_add_devices(topology, root, facts, instance, err))
        goto fail;
    from = topology->accelerator_count + topology->nic_count ? "sysfs" : "no devices";
    if (dt_topology_group_devices(topology, instance, from, err) == 0 &&
        describe(topology, facts, err) == 0)
        return 0;
fail:
    dt_topology_fini(topology);
    return -1;
}

static void device_free(struct dt_device *device)
{
    free(device->id);
    free(device->bdf);
    free(device->model);
    free(device->path);
}

static void devices_free(struct dt_device *devices, size_t count)
{
    for (size_t i = 0; i < count; i++)
        device_free(&devices[i]);
    free(devices);
}

void dt_topology_keep_accelerators(struct dt_topology *topology, const bool *keep)
{
    size_t kept = 0;

    for (size_t i = 0; i < topology->accelerator_count; i++) {
        if (keep[i])
            topology->accelerators[kept++] = topology->accelerators[i];
        else
            device_free(&topology->accelerators[i]);
    }
    topology->accelerator_count = kept;
}

void dt_topology_fini(struct dt_topology *topology)
{
    if (topology->hwloc)
        hwloc_topology_destroy(topology->hwloc);
    devices_free(topology->accelerators, topology->accelerator_count);
    devices_free(topology->nics, topology->nic_count);
    free(topology->machine);
    free(topology->source);
    free(topology->notes);
    memset(topology, 0, sizeof(*topology));
}
