/* SPDX-License-Identifier: Apache-2.0 */
/* A whole tree: each subject's file writes its part. */
#include <unistd.h>

#include "personality/edit.h"

int dt_personality_write(const char *out, const struct dt_instance *type, const char *node,
                         const char *nvml, struct dt_error *err)
{
    const struct dt_persona machine = {type, node};
    struct dt_tree tree;
    if (dt_tree_open_new(&tree, out, err) == 0) {
        dt_persona_write_cpus(&tree, &machine);
        dt_persona_write_memory(&tree, &machine);
        dt_persona_write_pci(&tree, &machine);
        dt_persona_write_efas(&tree, &machine);
        dt_persona_write_neuron(&tree, &machine);
        dt_persona_write_software(&tree, &machine);
        dt_persona_write_nvml(&tree, &machine, nvml);
        dt_persona_remember(&tree);
    }
    return dt_tree_close(&tree);
}

int dt_personality_remove(const char *path, struct dt_error *err)
{
    struct dt_tree tree;
    if (dt_tree_open_existing(&tree, path, err) == 0) {
        char **names = dt_edit_list_names(&tree, ".");
        for (size_t i = 0; names && names[i]; i++)
            dt_edit_remove_tree(&tree, names[i]);
        dt_edit_free_names(names);
        if (!tree.failed && rmdir(path) != 0)
            dt_tree_fail(&tree, "removing", path);
    }
    return dt_tree_close(&tree);
}
