/* SPDX-License-Identifier: Apache-2.0 */
/* Options that say which processes there are: how many on a node, which nodes, which platform. */
#include <string.h>

#include "options_rows.h"
#include "place.h"

static int take_per_task(struct dt_options *o, const char *name, const char *value,
                         struct dt_error *err)
{
    (void)name;
    (void)value;
    (void)err;
    o->per_task = true;
    return 0;
}

static int take_nproc(struct dt_options *o, const char *name, const char *value,
                      struct dt_error *err)
{
    static const struct {
        const char *word;
        enum dt_nproc nproc;
    } words[] = {{"auto", DT_NPROC_AUTO}, {"gpu", DT_NPROC_GPU}, {"cpu", DT_NPROC_CPU}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcmp(value, words[i].word) == 0) {
            o->nproc = words[i].nproc;
            return 0;
        }
    }
    if (dt_option_int(name, value, 1, 4096, &o->nproc, err) == 0)
        return 0;
    return dt_error_set(err, "%s is \"%s\": auto, gpu, cpu or a number from 1 to 4096 is needed",
                        name, value);
}

/* torchrun's "MIN:MAX": dt-launch starts when all MAX are there, and spares are an option of its
 * own. */
static int take_nnodes(struct dt_options *o, const char *name, const char *value,
                       struct dt_error *err)
{
    return dt_option_range(name, value, &o->nnodes_least, &o->nnodes, err);
}

static int take_node_rank(struct dt_options *o, const char *name, const char *value,
                          struct dt_error *err)
{
    return dt_option_int(name, value, 0, (1 << 20) - 1, &o->node_rank, err);
}

static int take_addr(struct dt_options *o, const char *name, const char *value,
                     struct dt_error *err)
{
    o->master_addr = value;
    return *value ? 0 : dt_error_set(err, "%s is empty: an address or name is needed", name);
}

static int take_port(struct dt_options *o, const char *name, const char *value,
                     struct dt_error *err)
{
    return dt_option_int(name, value, 1, 65535, &o->master_port, err);
}

static int take_platform(struct dt_options *o, const char *name, const char *value,
                         struct dt_error *err)
{
    int choice = 0;
    if (dt_option_word(name, value, dt_platform_names, DT_PLATFORMS, &choice, err))
        return -1;
    o->platform = (enum dt_platform)choice;
    return 0;
}

static int take_roles(struct dt_options *o, const char *name, const char *value,
                      struct dt_error *err)
{
    o->roles = value;
    return *value ? 0 : dt_error_set(err, "%s is empty: a file is needed", name);
}

const struct dt_option_row dt_options_of_shape[] = {
    {.name = "per-task",
     .doc = "Wrap the one process of each Slurm task (default when --nproc-per-node is not given)",
     .take = take_per_task},
    {.name = "nproc-per-node",
     .pet = true,
     .value = "N|auto|gpu|cpu",
     .doc = "Start N processes on each node; srun must start one task a node. auto: one for each "
            "visible GPU, else one for each core allowed; gpu, cpu: one for each of these",
     .take = take_nproc},
    {.name = "roles",
     .value = "FILE",
     .doc =
         "Groups of nodes with different programs, as FILE describes them (no program behind --)",
     .take = take_roles},
    {.name = "platform",
     .value = "NAME",
     .doc = "Where the numbers of the nodes come from: auto (default), slurm, batch (AWS Batch "
            "multi-node parallel), pytorchjob, indexed-job, jobset, sagemaker, openmpi, plain "
            "(--nnodes and so on) or alone",
     .take = take_platform},
    {.name = "nnodes",
     .pet = true,
     .value = "N",
     .doc = "Without a platform: number of nodes; start dt-launch once on each. Under one: what "
            "it must be",
     .take = take_nnodes},
    {.name = "node-rank",
     .pet = true,
     .value = "K",
     .doc = "Number of this node, 0 to N-1",
     .take = take_node_rank},
    {.name = "master-addr",
     .pet = true,
     .value = "ADDR",
     .doc = "Address of node 0; wins over MASTER_ADDR of the environment",
     .take = take_addr},
    {.name = "master-port",
     .pet = true,
     .value = "PORT",
     .doc = "Port on node 0; wins over MASTER_PORT of the environment",
     .take = take_port},
    {0},
};
