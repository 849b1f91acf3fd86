/* SPDX-License-Identifier: Apache-2.0 */
/* A whole tree: each subject's file writes its part. */
#include "personality/internal.h"

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
