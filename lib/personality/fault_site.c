/* SPDX-License-Identifier: Apache-2.0 */
/* Faults of what a site puts on its machines: file systems, services, modules. */
#include <stdlib.h>

#include "personality/edit.h"

int dt_plant_fabric_manager_dead(struct dt_tree *tree)
{
    dt_tree_enter(tree, "proc/driver/nvidia-nvswitch/devices");
    dt_tree_file(tree, "0000:a0:00.0", "%s", "");
    return tree->failed ? -1 : dt_edit_remove_tree(tree, PERSONALITY_FABRIC_MANAGER);
}

int dt_plant_service_dead(struct dt_tree *tree)
{
    char *name = dt_edit_read_all(tree, PERSONALITY_SERVICE "/comm");
    int rc = name ? dt_edit_remove_tree(tree, PERSONALITY_SERVICE)
                  : dt_edit_complain(tree, "only a tree made with --settled has services");
    free(name);
    return rc;
}

int dt_plant_module_gone(struct dt_tree *tree)
{
    return dt_edit_remove_tree(tree, "sys/module/ena");
}

/* The line of mountinfo goes. */
int dt_plant_fsx_gone(struct dt_tree *tree)
{
    int rc = dt_edit_substitute(tree, "proc/self/mountinfo", PERSONALITY_FSX, "");
    return rc == 0 ? dt_edit_complain(tree, "nothing is mounted at /fsx") : rc;
}

/* What is no directory answers every question with an error, for root too. */
static int put_file_over(struct dt_tree *tree, const char *directory)
{
    if (dt_edit_remove_tree(tree, directory) != 0)
        return -1;
    dt_tree_enter(tree, ".");
    dt_tree_file(tree, directory, "%s", "");
    return tree->failed ? -1 : 0;
}

int dt_plant_fsx_broken(struct dt_tree *tree)
{
    return put_file_over(tree, "fsx");
}

int dt_plant_scratch_gone(struct dt_tree *tree)
{
    return put_file_over(tree, "scratch");
}
