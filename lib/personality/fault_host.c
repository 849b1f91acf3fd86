/* SPDX-License-Identifier: Apache-2.0 */
/* Faults of the machine itself: memory, disks, network, processes; and versions that other nodes do
 * not have. */
#include <stdio.h>
#include <string.h>

#include "personality/edit.h"

/* The same change in proc/meminfo and in each NUMA node's. */
static int scale_memory(struct dt_tree *tree, const char *const *keys, int percent)
{
    if (dt_edit_scale_lines(tree, "proc/meminfo", keys, percent) != 0)
        return -1;
    int rc = 0;
    char **names = dt_edit_list_names(tree, "sys/devices/system/node");
    for (size_t i = 0; names && names[i] && rc == 0; i++) {
        char path[512];
        snprintf(path, sizeof path, "sys/devices/system/node/%s/meminfo", names[i]);
        if (strncmp(names[i], "node", 4) == 0)
            rc = dt_edit_scale_lines(tree, path, keys, percent);
    }
    dt_edit_free_names(names);
    return rc;
}

int dt_plant_memory_missing(struct dt_tree *tree)
{
    static const char *const keys[] = {"MemTotal:", "MemFree:", "MemAvailable:", NULL};
    return scale_memory(tree, keys, 75);
}

static int empty_pool(struct dt_tree *tree, const char *pool)
{
    char path[512];
    snprintf(path, sizeof path, "%s/hugepages-2048kB/nr_hugepages", pool);
    if (dt_edit_overwrite(tree, path, "0\n") != 0)
        return -1;
    snprintf(path, sizeof path, "%s/hugepages-2048kB/free_hugepages", pool);
    return dt_edit_overwrite(tree, path, "0\n");
}

int dt_plant_hugepages_gone(struct dt_tree *tree)
{
    static const char *const keys[] = {"HugePages_Total:", "HugePages_Free:", "Hugetlb:", NULL};
    int rc = empty_pool(tree, "sys/kernel/mm/hugepages");
    char **names = dt_edit_list_names(tree, "sys/devices/system/node");
    for (size_t i = 0; names && names[i] && rc == 0; i++) {
        char path[512];
        snprintf(path, sizeof path, "sys/devices/system/node/%s/hugepages", names[i]);
        if (strncmp(names[i], "node", 4) == 0)
            rc = empty_pool(tree, path);
    }
    dt_edit_free_names(names);
    return rc == 0 ? scale_memory(tree, keys, 0) : -1;
}

int dt_plant_memory_taken(struct dt_tree *tree)
{
    static const char *const keys[] = {"MemFree:", "MemAvailable:", NULL};
    return scale_memory(tree, keys, 20);
}

int dt_plant_local_disk_missing(struct dt_tree *tree)
{
    char name[64], path[512];
    if (!dt_edit_last_name(tree, "sys/class/nvme", name) || strcmp(name, "nvme0") == 0)
        return dt_edit_complain(tree, "this machine has no instance store");
    snprintf(path, sizeof path, "sys/class/nvme/%s", name);
    return dt_edit_remove_tree(tree, path);
}

int dt_plant_ethernet_down(struct dt_tree *tree)
{
    return dt_edit_overwrite(tree, "sys/class/net/eth0/carrier", "0\n") == 0
               ? dt_edit_overwrite(tree, "sys/class/net/eth0/operstate", "down\n")
               : -1;
}

int dt_plant_processes_stuck(struct dt_tree *tree)
{
    for (int pid = 4000; pid < 4030; pid++) {
        dt_tree_enter(tree, "proc/%d", pid);
        dt_tree_file(tree, "stat", "%d (python3 (data)) D 1 1 1 0 -1 4194560\n", pid);
        dt_tree_file(tree, "wchan", "%s", "cl_sync_io_wait");
    }
    return tree->failed ? -1 : 0;
}

int dt_plant_link_flaps(struct dt_tree *tree)
{
    return dt_edit_overwrite(tree, "sys/class/net/eth0/carrier_changes", "1000000\n");
}

int dt_plant_traffic_held_back(struct dt_tree *tree)
{
    return dt_edit_overwrite(tree, "dt-ethtool/eth0",
                             "NIC statistics:\n     bw_in_allowance_exceeded: 100000000\n");
}

int dt_plant_edac_growth(struct dt_tree *tree)
{
    return dt_persona_raise(tree, "sys/devices/system/edac/mc/mc0", "ce_count");
}

int dt_plant_nvme_media(struct dt_tree *tree)
{
    dt_tree_enter(tree, "sys/class/nvme/nvme0");
    dt_tree_file(tree, "state", "live\n");
    dt_tree_enter(tree, "dt-smart");
    dt_tree_file(tree, "nvme0", "critical_warning : 0\nmedia_errors : 0\n");
    if (dt_persona_remember(tree) < 0)
        return -1;
    return dt_edit_overwrite(tree, "dt-smart/nvme0", "critical_warning : 0\nmedia_errors : 2\n");
}

int dt_plant_kernel_odd(struct dt_tree *tree)
{
    return dt_edit_overwrite(tree, "proc/sys/kernel/osrelease", "6.8.0-1019-aws\n");
}

/* An older driver: of the accelerator, or of EFA where there is none. */
int dt_plant_driver_odd(struct dt_tree *tree)
{
    static const struct change {
        const char *path, *from, *to;
    } changes[] = {
        {"sys/module/nvidia/version", PERSONALITY_NVIDIA, "570.133.20"},
        {"proc/driver/nvidia/version", PERSONALITY_NVIDIA, "570.133.20"},
        {NVML_DATA, "driver " PERSONALITY_NVIDIA, "driver 570.133.20"},
        {"sys/module/neuron/version", PERSONALITY_NEURON, "2.21.37.0"},
    };
    int changed = 0;
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        int rc = dt_edit_substitute(tree, changes[i].path, changes[i].from, changes[i].to);
        if (rc < 0)
            return -1;
        changed += rc;
    }
    if (changed == 0)
        changed =
            dt_edit_substitute(tree, "sys/module/efa/version", PERSONALITY_EFA_DRIVER, "2.15.3g");
    return changed > 0
               ? 0
               : dt_edit_complain(tree, "there is no driver whose version could be changed");
}

int dt_plant_libfabric_odd(struct dt_tree *tree)
{
    static const char old[] = "2.1.0amzn3.0";
    int changed = dt_edit_substitute(tree, "opt/amazon/efa/lib64/pkgconfig/libfabric.pc",
                                     PERSONALITY_LIBFABRIC, old);
    if (changed == 0)
        return dt_edit_complain(tree, "this machine has no libfabric");
    return changed > 0 &&
                   dt_edit_substitute(tree, "opt/amazon/efa/lib64/libfabric.so.1",
                                      PERSONALITY_LIBFABRIC, old) >= 0 &&
                   dt_edit_substitute(tree, "opt/amazon/efa_installed_packages",
                                      PERSONALITY_LIBFABRIC, old) >= 0
               ? 0
               : -1;
}
