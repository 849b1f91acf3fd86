/* SPDX-License-Identifier: Apache-2.0 */
/* What a machine has once a site has settled on it: services, a RAID of local disks, and what only
 * some machines count: PCIe and memory errors. Apart from the rest, as a node of the local cluster shows the processes and disks of
 * the machine that it runs on. */
#include <stdlib.h>
#include <string.h>

#include "personality/edit.h"

static void write_fabric_manager(struct dt_tree *tree, const struct dt_instance *type)
{
    /* NVSwitches join the 8 GPUs of p3dn and later; those of g types have no NVLink. */
    if (type->nvlinks == 0 || type->accelerators < 8)
        return;
    dt_tree_enter(tree, "proc/driver/nvidia-nvswitch/devices");
    dt_tree_file(tree, "0000:a0:00.0", "%s", "");
    dt_tree_enter(tree, PERSONALITY_FABRIC_MANAGER);
    dt_tree_file(tree, "comm", "nv-fabricmanage\n"); /* the kernel keeps 15 letters */
}

static void write_raid(struct dt_tree *tree)
{
    dt_tree_enter(tree, "sys/block/md0/md");
    dt_tree_file(tree, "array_state", "clean\n");
    dt_tree_file(tree, "degraded", "0\n");
}

/* What a program that asks the disk itself would say. */
static void write_smart(struct dt_tree *tree)
{
    dt_tree_enter(tree, "dt-smart");
    dt_tree_file(tree, "nvme0", "critical_warning : 0\nmedia_errors : 0\n");
}

/* As slurmd has itself seen. */
static void write_service(struct dt_tree *tree)
{
    dt_tree_enter(tree, PERSONALITY_SERVICE);
    dt_tree_file(tree, "comm", "slurmd\n");
    dt_tree_file(tree, "stat", "4322 (slurmd) S 1 4322 4322 0 -1 4194560\n");
}

/* Where the machine lets the kernel count them. */
static void write_errors(struct dt_tree *tree, const struct dt_persona_device *devices)
{
    for (const struct dt_persona_device *device = devices; device && device->bdf; device++) {
        dt_tree_enter(tree, PCI "/%s", device->bdf);
        dt_tree_file(tree, "aer_dev_correctable", "RxErr 0\nBadTLP 0\nTOTAL_ERR_COR 0\n");
        dt_tree_file(tree, "aer_dev_fatal", "Undefined 0\nDLP 0\nTOTAL_ERR_FATAL 0\n");
        dt_tree_file(tree, "aer_dev_nonfatal", "Undefined 0\nTOTAL_ERR_NONFATAL 0\n");
    }
}

static void write_metal(struct dt_tree *tree)
{
    dt_tree_enter(tree, "sys/devices/system/cpu/cpu0/cpufreq");
    dt_tree_file(tree, "scaling_governor", "performance\n");
    dt_tree_enter(tree, "sys/devices/system/edac/mc/mc0");
    dt_tree_file(tree, "ue_count", "0\n");
    dt_tree_file(tree, "ce_count", "0\n");
}

int dt_personality_settle(const char *root, const struct dt_instance *type, struct dt_error *err)
{
    const struct dt_persona machine = {type, ""};
    struct dt_persona_device *gpus = dt_persona_accelerators(&machine),
                             *nics = dt_persona_nics(&machine);
    struct dt_tree tree;
    if (dt_tree_open_existing(&tree, root, err) == 0) {
        write_fabric_manager(&tree, type);
        write_service(&tree);
        write_raid(&tree);
        dt_tree_enter(&tree, "proc");
        dt_tree_file(&tree, "uptime", "867605.25 99000000.00\n");
        write_smart(&tree);
        write_errors(&tree, gpus);
        write_errors(&tree, nics);
        if (strstr(type->name, ".metal")) /* only there the kernel sets the clock */
            write_metal(&tree);
        dt_persona_remember(&tree);
    }
    free(gpus);
    free(nics);
    return dt_tree_close(&tree);
}
