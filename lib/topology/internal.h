/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of lib/topology share: the CPU side (discovery and its cache) and the device side.
 */
#ifndef DT_TOPOLOGY_INTERNAL_H
#define DT_TOPOLOGY_INTERNAL_H

#include "topology/topology.h"

/* An initialised hwloc topology that will keep packages, NUMA nodes, cores and PUs only. */
int dt_topology_cpu_init(hwloc_topology_t *hwloc, struct dt_error *err);

/* Map a model that hwloc_shmem_topology_write has put into a file for this place. It can not be
 * changed. 1: there is something else at the place; -1: it is none of this hwloc's. */
int dt_topology_cpu_adopt(hwloc_topology_t *hwloc, int fd, void *place, size_t len);

/* Read the CPUs and NUMA nodes below the root with hwloc. On success *hwloc is the caller's. */
int dt_topology_cpu_discover(hwloc_topology_t *hwloc, const struct dt_root *root,
                             struct dt_error *err);

/* hwloc's own XML, text[len] being NUL. *hwloc is NULL on failure. */
int dt_topology_cpu_from_xml(hwloc_topology_t *hwloc, const char *text, size_t len);

/* File that holds this boot's topology of this machine, or NULL: nothing can be cached here. */
char *dt_topology_cache_path(const struct dt_root *root, const char *directory);

/* 0: *hwloc was loaded from the file, and can not be changed; -1: there is no file that can be
 * trusted and used; 1: there is, but not in this process, which has another one loaded. */
int dt_topology_cache_read(hwloc_topology_t *hwloc, const char *path);

/* Best effort: a cache that can not be written costs time only. */
void dt_topology_cache_write(hwloc_topology_t hwloc, const char *path);

/* Accelerators and NICs from the facts and sysfs, with their places; no groups yet. */
int dt_topology_add_devices(struct dt_topology *topology, const struct dt_root *root,
                            const struct dt_facts *facts, const struct dt_instance *instance,
                            struct dt_error *err);

/* The parts that sysfs and procfs alone know (sysfs.c). GPUs without a driver; RDMA NICs that are not
 * EFA, each physical function once; which GPUs are in MIG mode. */
int dt_topology_add_bus_gpus(struct dt_topology *topology, const struct dt_root *root);
int dt_topology_add_other_nics(struct dt_topology *topology, const struct dt_root *root);
void dt_topology_mark_partitioned(struct dt_topology *topology, const struct dt_root *root);

/* A device of the live machine, with its path from sysfs; NUMA node and groups not known yet. */
int dt_topology_fill_device(struct dt_device *device, const struct dt_root *root, const char *id,
                            const char *bdf, const char *model);

/* PCI order; Neuron devices by number. */
void dt_topology_sort_devices(struct dt_topology *topology);

/* The kernel's node number -> index in the model; -1 when the model has no such node. */
int dt_topology_logical_node(hwloc_topology_t hwloc, long long os_index);

/* Give devices below one switch the same group number, and fill `source`, which begins with `from`
 * when there are devices. */
int dt_topology_group_devices(struct dt_topology *topology, const struct dt_instance *instance,
                              const char *from, struct dt_error *err);

#endif
