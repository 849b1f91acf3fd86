/* SPDX-License-Identifier: Apache-2.0 */
/* Generated trees of sysfs, for the tests of the model of a node. */
#ifndef TESTS_UNIT_TOPOLOGY_TREE_H
#define TESTS_UNIT_TOPOLOGY_TREE_H

#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "topology/topology.h"

/* ---- generated trees ------------------------------------------------------------------------- */

struct tree {
    char path[64];
    unsigned cores_per_node; /* two packages, a node each, two threads a core */
};

static inline void make_parents(char *path)
{
    for (char *p = strchr(path + 1, '/'); p; p = strchr(p + 1, '/')) {
        *p = '\0';
        if (mkdir(path, 0755) && errno != EEXIST)
            fail_msg("mkdir %s: %s", path, strerror(errno));
        *p = '/';
    }
}

static inline void put(const struct tree *tree, const char *text, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static inline void put(const struct tree *tree, const char *text, const char *format, ...)
{
    char name[256], path[512];
    va_list args;
    FILE *file;

    va_start(args, format);
    vsnprintf(name, sizeof(name), format, args);
    va_end(args);
    snprintf(path, sizeof(path), "%s/%s", tree->path, name);
    make_parents(path);
    file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "%s\n", text);
    fclose(file);
}

static inline void put_link(const struct tree *tree, const char *target, const char *bdf)
{
    char path[512];

    snprintf(path, sizeof(path), "%s/sys/bus/pci/devices/%s", tree->path, bdf);
    make_parents(path);
    assert_int_equal(symlink(target, path), 0);
}

/* The kernel's mask format of two ranges of CPUs. */
static inline const char *mask(char *out, unsigned first, unsigned count, unsigned offset)
{
    uint32_t words[8] = {0};
    char *p = out;

    for (unsigned i = first; i < first + count; i++) {
        words[i / 32] |= 1u << i % 32;
        words[(i + offset) / 32] |= 1u << (i + offset) % 32;
    }
    for (int w = 7; w >= 0; w--)
        p += sprintf(p, "%08x%s", words[w], w ? "," : "");
    return out;
}

static inline void put_cpu(const struct tree *tree, unsigned cpu)
{
    unsigned cores = 2 * tree->cores_per_node, core = cpu % cores,
             node = core / tree->cores_per_node;
    char text[128];

    snprintf(text, sizeof(text), "%u", core % tree->cores_per_node);
    put(tree, text, "sys/devices/system/cpu/cpu%u/topology/core_id", cpu);
    snprintf(text, sizeof(text), "%u", node);
    put(tree, text, "sys/devices/system/cpu/cpu%u/topology/physical_package_id", cpu);
    mask(text, core, 1, cores);
    put(tree, text, "sys/devices/system/cpu/cpu%u/topology/thread_siblings", cpu);
    mask(text, node * tree->cores_per_node, tree->cores_per_node, cores);
    put(tree, text, "sys/devices/system/cpu/cpu%u/topology/core_siblings", cpu);
}

static inline void tree_init(struct tree *tree, unsigned cores_per_node)
{
    unsigned cpus = 4 * cores_per_node;
    char text[128];

    strcpy(tree->path, "/tmp/dt-test-topology-XXXXXX");
    assert_non_null(mkdtemp(tree->path));
    tree->cores_per_node = cores_per_node;
    snprintf(text, sizeof(text), "0-%u", cpus - 1);
    put(tree, text, "sys/devices/system/cpu/online");
    put(tree, text, "sys/devices/system/cpu/possible");
    for (unsigned cpu = 0; cpu < cpus; cpu++)
        put_cpu(tree, cpu);
    put(tree, "0-1", "sys/devices/system/node/online");
    for (unsigned n = 0; n < 2; n++) {
        put(tree, mask(text, n * cores_per_node, cores_per_node, 2 * cores_per_node),
            "sys/devices/system/node/node%u/cpumap", n);
        snprintf(text, sizeof(text), "%u-%u,%u-%u", n * cores_per_node,
                 (n + 1) * cores_per_node - 1, (n + 2) * cores_per_node,
                 (n + 3) * cores_per_node - 1);
        put(tree, text, "sys/devices/system/node/node%u/cpulist", n);
        put(tree, n ? "21 10" : "10 21", "sys/devices/system/node/node%u/distance", n);
        put(tree, "Node 0 MemTotal: 1048576 kB", "sys/devices/system/node/node%u/meminfo", n);
    }
    put(tree, "p5.48xlarge", "sys/devices/virtual/dmi/id/product_name");
    put(tree, "0f7e8a52-0000-4000-8000-000000000001", "proc/sys/kernel/random/boot_id");
}

static inline int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st;
    (void)kind;
    (void)ftw;
    return remove(path);
}

static inline void tree_fini(const struct tree *tree)
{
    nftw(tree->path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline struct dt_facts no_facts(void)
{
    return (struct dt_facts){json_object()};
}

static inline void add_device(struct dt_facts *facts, const char *key, const char *bdf,
                              const char *name, int numa)
{
    json_t *array = json_object_get(facts->doc, key);

    if (!array) {
        array = json_array();
        json_object_set_new(facts->doc, key, array);
    }
    json_array_append_new(array, json_pack("{ss ss ss si}", "bdf", bdf, "name", name, "uuid",
                                           *name == 'G' ? name : "", "numa", numa));
}

static inline int load(struct dt_topology *topology, const struct tree *tree,
                       const struct dt_facts *facts, const struct dt_instance *instance,
                       const char *cache, struct dt_error *err)
{
    struct dt_root root;
    int rc;

    assert_int_equal(dt_root_init(&root, tree->path, err), 0);
    rc = dt_topology_load(topology, &root, facts, instance, cache, err);
    dt_root_fini(&root);
    return rc;
}

static inline void must_load(struct dt_topology *topology, const struct tree *tree,
                             const struct dt_facts *facts, const struct dt_instance *instance,
                             const char *cache)
{
    struct dt_error err = {0};
    if (load(topology, tree, facts, instance, cache, &err))
        fail_msg("%s", err.text);
}

static inline int count(const struct dt_topology *topology, hwloc_obj_type_t type)
{
    return hwloc_get_nbobjs_by_type(topology->hwloc, type);
}

#endif
