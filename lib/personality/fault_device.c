/* SPDX-License-Identifier: Apache-2.0 */
/* Faults of Neuron and EFA devices. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "personality/edit.h"

int dt_plant_neuron_lost(struct dt_tree *tree)
{
    char name[64];
    if (!dt_edit_last_name(tree, "sys/class/neuron_device", name))
        return dt_edit_complain(tree, "this machine has no accelerator");
    return dt_edit_remove_linked(tree, "sys/class/neuron_device", name);
}

int dt_plant_neuron_ecc(struct dt_tree *tree)
{
    char name[64], path[512];
    if (!dt_edit_last_name(tree, "sys/class/neuron_device", name))
        return dt_edit_complain(tree, "this machine has no Neuron device");
    snprintf(path, sizeof path, "sys/class/neuron_device/%s/stats/hardware/mem_ecc_uncorrected",
             name);
    return dt_edit_overwrite(tree, path, "2\n");
}

int dt_plant_neuron_core_error(struct dt_tree *tree)
{
    char name[64], path[512];
    if (!dt_edit_last_name(tree, "sys/class/neuron_device", name))
        return dt_edit_complain(tree, "this machine has no Neuron device");
    snprintf(path, sizeof path,
             "sys/class/neuron_device/%s/neuron_core1/stats/status/hw_nc_ue_error/total", name);
    return dt_edit_overwrite(tree, path, "1\n");
}

int dt_plant_efa_lost(struct dt_tree *tree)
{
    char name[64], path[1024], target[512];
    if (!dt_edit_last_name(tree, "sys/class/infiniband", name))
        return dt_edit_complain(tree, "this machine has no EFA device");
    snprintf(path, sizeof path, "sys/class/infiniband/%s/device", name);
    ssize_t n = readlinkat(tree->root, path, target, sizeof target - 1);
    if (n < 0)
        return dt_tree_fail(tree, "reading the link", path);
    target[n] = '\0';
    const char *bdf = strrchr(target, '/') ? strrchr(target, '/') + 1 : target;

    char verbs[64] = "";
    snprintf(path, sizeof path, PCI "/%s/infiniband_verbs", bdf);
    if (dt_edit_last_name(tree, path, verbs)) {
        snprintf(path, sizeof path, "sys/class/infiniband_verbs/%s", verbs);
        if (dt_edit_remove_tree(tree, path) != 0)
            return -1;
    }
    snprintf(path, sizeof path, "sys/class/infiniband/%s", name);
    return dt_edit_remove_tree(tree, path) == 0 ? dt_edit_remove_linked(tree, PCI, bdf) : -1;
}

int dt_plant_efa_port_down(struct dt_tree *tree)
{
    char name[64], path[512];
    if (!dt_edit_last_name(tree, "sys/class/infiniband", name))
        return dt_edit_complain(tree, "this machine has no EFA device");
    snprintf(path, sizeof path, "sys/class/infiniband/%s/ports/1/state", name);
    if (dt_edit_overwrite(tree, path, "1: DOWN\n") != 0)
        return -1;
    snprintf(path, sizeof path, "sys/class/infiniband/%s/ports/1/phys_state", name);
    return dt_edit_overwrite(tree, path, "3: Disabled\n");
}

static int change_efa(struct dt_tree *tree, const char *file, const char *text)
{
    char name[64], path[512];
    if (!dt_edit_last_name(tree, "sys/class/infiniband", name))
        return dt_edit_complain(tree, "this machine has no EFA device");
    snprintf(path, sizeof path, "sys/class/infiniband/%s/ports/1/%s", name, file);
    return dt_edit_overwrite(tree, path, text);
}

int dt_plant_efa_slow(struct dt_tree *tree)
{
    return change_efa(tree, "rate", "25 Gb/sec (1X EDR)\n");
}

int dt_plant_efa_gid_zero(struct dt_tree *tree)
{
    return change_efa(tree, "gids/0", "0000:0000:0000:0000:0000:0000:0000:0000\n");
}

int dt_plant_efa_verbs_gone(struct dt_tree *tree)
{
    char name[64];
    if (!dt_edit_last_name(tree, "sys/class/infiniband", name))
        return dt_edit_complain(tree, "this machine has no EFA device");
    return dt_edit_remove_tree(tree, "sys/module/ib_uverbs");
}

int dt_plant_efa_retransmits(struct dt_tree *tree)
{
    return change_efa(tree, "hw_counters/retrans_pkts", "1000000000000\n");
}
