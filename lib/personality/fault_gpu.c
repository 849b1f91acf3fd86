/* SPDX-License-Identifier: Apache-2.0 */
/* Faults of GPUs that take more than one line for the fake NVML: what other files of the tree say of
 * them. The last accelerator of a machine may be a Neuron device, too. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "personality/edit.h"

/* A program of another user's job, which /proc shows. */
int dt_plant_gpu_stranger(struct dt_tree *tree)
{
    dt_tree_enter(tree, "proc/4711");
    dt_tree_file(tree, "comm", "python3\n");
    dt_tree_file(tree, "status", "Name:\tpython3\nUmask:\t0022\nUid:\t1007\t1007\t1007\t1007\n");
    dt_tree_file(tree, "cgroup", "0::/user.slice/user-1007.slice/session-3.scope\n");
    return tree->failed ? -1 : 0;
}

/* One event that matters, under those that a program of the user makes. */
int dt_plant_xid_buried(struct dt_tree *tree)
{
    struct dt_buf text = DT_BUF_INIT;
    dt_buf_puts(&text, "6,1,100000,-;Linux version\n3,2,864000000000,-;NVRM: Xid (PCI:0000:99:00): "
                       "95, Uncontained: SM (0x1). RST: Yes, D-RST: No\n");
    for (int i = 0; i < 200; i++)
        dt_buf_printf(&text,
                      "3,%d,8640000%05d,-;NVRM: Xid (PCI:0000:99:00): 31, pid=%d, name=python3, Ch "
                      "00000008, MMU Fault\n",
                      3 + i, 10 * i, 4000 + i);
    char *log = dt_buf_take(&text);
    int rc = log ? dt_edit_write_anew(tree, "dev/kmsg", log) : dt_edit_complain(tree, "no memory");
    free(log);
    return rc;
}

/* What the kernel counts for a device that can report PCIe errors. */
int dt_plant_gpu_pcie_fatal(struct dt_tree *tree)
{
    char bdf[32];
    if (!dt_edit_last_device(tree, "0x10de", "0x0302", bdf))
        return dt_edit_complain(tree, "this machine has no NVIDIA GPU");
    dt_tree_enter(tree, PCI "/%s", bdf);
    dt_tree_file(tree, "aer_dev_correctable", "RxErr 2\nBadTLP 0\nTOTAL_ERR_COR 2\n");
    dt_tree_file(tree, "aer_dev_fatal", "Undefined 0\nDLP 0\nSDES 1\nTOTAL_ERR_FATAL 1\n");
    dt_tree_file(tree, "aer_dev_nonfatal", "Undefined 0\nTOTAL_ERR_NONFATAL 0\n");
    return tree->failed ? -1 : 0;
}

int dt_plant_gpu_lost(struct dt_tree *tree)
{
    char bdf[32], path[512];
    if (!dt_edit_last_device(tree, "0x10de", "0x0302", bdf))
        return dt_plant_neuron_lost(tree);
    snprintf(path, sizeof path, "proc/driver/nvidia/gpus/%s", bdf);
    return dt_edit_remove_tree(tree, path) == 0 ? dt_edit_add_to_nvml(tree, "lost %s\n", bdf) : -1;
}

int dt_plant_gpu_off_bus(struct dt_tree *tree)
{
    char bdf[32], path[512], from[64], to[64];
    if (!dt_edit_last_device(tree, "0x10de", "0x0302", bdf)) {
        if (dt_plant_neuron_lost(tree) != 0)
            return -1;
        return dt_edit_last_device(tree, "0x1d0f", "0x0880", bdf)
                   ? dt_edit_remove_linked(tree, PCI, bdf)
                   : 0;
    }
    snprintf(path, sizeof path, "proc/driver/nvidia/gpus/%s", bdf);
    snprintf(from, sizeof from, "gpu %s", bdf);
    snprintf(to, sizeof to, "# gone: %s", bdf);
    return dt_edit_remove_tree(tree, path) == 0 &&
                   dt_edit_substitute(tree, NVML_DATA, from, to) >= 0 &&
                   dt_edit_remove_linked(tree, PCI, bdf) == 0
               ? 0
               : -1;
}

/* "gpu BDF UUID ID MIB ...": the number of the last such line is halved. */
int dt_plant_gpu_memory_missing(struct dt_tree *tree)
{
    char bdf[32], from[64];
    if (!dt_edit_last_device(tree, "0x10de", "0x0302", bdf))
        return dt_edit_complain(tree, "this machine has no NVIDIA GPU");
    char *text = dt_edit_read_all(tree, NVML_DATA);
    snprintf(from, sizeof from, "gpu %s ", bdf);
    const char *line = text ? strstr(text, from) : NULL;
    char uuid[96], id[16], to[256], old[256];
    long long mib;
    int rc = -1;
    if (line && sscanf(line, "gpu %*s %95s %15s %lld", uuid, id, &mib) == 3) {
        snprintf(old, sizeof old, "%s%s %s %lld ", from, uuid, id, mib);
        snprintf(to, sizeof to, "%s%s %s %lld ", from, uuid, id, mib / 2);
        rc = dt_edit_substitute(tree, NVML_DATA, old, to);
    }
    free(text);
    return rc > 0 ? 0 : dt_edit_complain(tree, "the fake NVML does not know the last GPU");
}

int dt_plant_nvml_hang(struct dt_tree *tree)
{
    return dt_edit_add_to_nvml(tree, "hang nvmlInit_v2\n");
}

int dt_plant_nvml_error(struct dt_tree *tree)
{
    return dt_edit_add_to_nvml(tree, "fail nvmlInit_v2 18\n");
}
