/* SPDX-License-Identifier: Apache-2.0 */
/* Discovery of the CPU side with hwloc. Devices are left out on purpose: looking for them is what
 * makes hwloc slow, and the facts have them already. */
#include <errno.h>
#include <hwloc/shmem.h>
#include <stdlib.h>
#include <string.h>

#include "topology/internal.h"

/* hwloc takes its root, and much else, from the environment only. The helper processes of dt have
 * one thread, so the variables are put in place around each call and taken back after it. */
static const char *const steering[] = {
    "HWLOC_FSROOT",     "HWLOC_XMLFILE",      "HWLOC_SYNTHETIC",   "HWLOC_COMPONENTS",
    "HWLOC_THISSYSTEM", "HWLOC_CPUID_PATH",   "HWLOC_ALLOW",       "HWLOC_DUMPED_HWDATA_DIR",
    "HWLOC_LIBXML",     "HWLOC_PLUGINS_PATH", "HWLOC_HIDE_ERRORS",
};
#define STEERING_COUNT (sizeof(steering) / sizeof(steering[0]))

struct environment {
    char *saved[STEERING_COUNT];
};

static int environment_enter(struct environment *env, const char *fsroot)
{
    memset(env, 0, sizeof(*env));
    for (size_t i = 0; i < STEERING_COUNT; i++) {
        const char *value = getenv(steering[i]);
        if (value && !(env->saved[i] = strdup(value)))
            return -1;
        unsetenv(steering[i]);
    }
    /* No plugins: they open GPU libraries. hwloc's own XML reader: it reads what it wrote, faster.
     */
    if (setenv("HWLOC_PLUGINS_PATH", "", 1) || setenv("HWLOC_HIDE_ERRORS", "2", 1) ||
        setenv("HWLOC_LIBXML", "0", 1))
        return -1;
    return fsroot ? setenv("HWLOC_FSROOT", fsroot, 1) : 0;
}

static void environment_leave(struct environment *env)
{
    for (size_t i = 0; i < STEERING_COUNT; i++) {
        if (env->saved[i])
            setenv(steering[i], env->saved[i], 1);
        else
            unsetenv(steering[i]);
        free(env->saved[i]);
    }
}

static int keep_cpus_only(hwloc_topology_t hwloc)
{
    static const hwloc_obj_type_t kept[] = {HWLOC_OBJ_PACKAGE, HWLOC_OBJ_CORE};
    /* Disallowed CPUs are kept, because what a task may use is the task's mask, not this process's
     * cgroup, and because the cache serves every later job. */
    unsigned long flags = HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED | HWLOC_TOPOLOGY_FLAG_NO_MEMATTRS |
                          HWLOC_TOPOLOGY_FLAG_NO_CPUKINDS;

    if (hwloc_topology_set_flags(hwloc, flags))
        return -1;
    if (hwloc_topology_set_all_types_filter(hwloc, HWLOC_TYPE_FILTER_KEEP_NONE))
        return -1;
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
        if (hwloc_topology_set_type_filter(hwloc, kept[i], HWLOC_TYPE_FILTER_KEEP_ALL))
            return -1;
    /* Groups that structure the machine: without them hwloc hangs the NUMA nodes of a package on
     * the package, each with all of its CPUs. */
    return hwloc_topology_set_type_filter(hwloc, HWLOC_OBJ_GROUP, HWLOC_TYPE_FILTER_KEEP_STRUCTURE);
}

int dt_topology_cpu_init(hwloc_topology_t *hwloc, struct dt_error *err)
{
    struct environment env;
    int rc = -1;

    *hwloc = NULL;
    if (environment_enter(&env, NULL) || hwloc_topology_init(hwloc)) {
        *hwloc = NULL;
        dt_error_set(err, "hwloc can not start: %s", strerror(errno));
    } else if (keep_cpus_only(*hwloc)) {
        hwloc_topology_destroy(*hwloc);
        *hwloc = NULL;
        dt_error_set(err,
                     "hwloc %s lacks a type filter that dt needs; version 2.8 or later is needed",
                     HWLOC_VERSION);
    } else {
        rc = 0;
    }
    environment_leave(&env);
    return rc;
}

int dt_topology_cpu_from_xml(hwloc_topology_t *hwloc, const char *text, size_t len)
{
    struct environment env;
    int rc = -1;

    if (dt_topology_cpu_init(hwloc, NULL))
        return -1;
    if (environment_enter(&env, NULL) == 0 &&
        hwloc_topology_set_xmlbuffer(*hwloc, text, (int)len + 1) == 0 &&
        hwloc_topology_load(*hwloc) == 0)
        rc = 0;
    environment_leave(&env);
    if (rc) {
        hwloc_topology_destroy(*hwloc);
        *hwloc = NULL;
    }
    return rc;
}

int dt_topology_cpu_adopt(hwloc_topology_t *hwloc, int fd, void *place, size_t len)
{
    struct environment env;
    int rc = -1;

    *hwloc = NULL;
    if (environment_enter(&env, NULL) == 0) {
        rc = hwloc_shmem_topology_adopt(hwloc, fd, 0, place, len, 0);
        if (rc < 0)
            *hwloc = NULL;
        rc = rc < 0 && errno == EBUSY ? 1 : rc;
    }
    environment_leave(&env);
    return rc;
}

int dt_topology_cpu_discover(hwloc_topology_t *hwloc, const struct dt_root *root,
                             struct dt_error *err)
{
    struct environment env;
    int rc = -1;

    if (!dt_root_exists(root, "sys/devices/system/cpu"))
        return dt_error_set(err, "%s holds no sys/devices/system/cpu, so its CPUs are not known",
                            root->path);
    if (dt_topology_cpu_init(hwloc, err))
        return -1;
    /* The x86 component asks every CPU by binding itself to it: slow, and wrong below a fake root.
     */
    hwloc_topology_set_components(*hwloc, HWLOC_TOPOLOGY_COMPONENTS_FLAG_BLACKLIST, "x86");
    if (environment_enter(&env, root->fake ? root->path : NULL) || hwloc_topology_load(*hwloc))
        dt_error_set(err, "hwloc can not read the CPUs below %s: %s", root->path, strerror(errno));
    else
        rc = 0;
    environment_leave(&env);
    if (rc) {
        hwloc_topology_destroy(*hwloc);
        *hwloc = NULL;
    }
    return rc;
}
