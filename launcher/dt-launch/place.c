/* SPDX-License-Identifier: Apache-2.0 */
/* Choosing the adapter, and the two adapters that need no platform: plain flags and this machine
 * alone. */
#include "place.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *own_name(void)
{
    char name[HOST_NAME_MAX + 1];
    const char *slurm = getenv("SLURMD_NODENAME");
    if (slurm && *slurm)
        return strdup(slurm);
    if (gethostname(name, sizeof name))
        return strdup("localhost");
    name[sizeof name - 1] = '\0';
    return strdup(name);
}

/* N processes here, all numbered by this agent. */
static int fill_fanout(struct dt_place *place, const struct dt_options *options,
                       struct dt_error *err)
{
    place->shape = DT_SHAPE_FANOUT;
    if (dt_nproc_count(options->nproc, &place->processes, err))
        return -1;
    if (place->processes > INT_MAX / place->node_count)
        return dt_error_set(err, "%d processes on each of %d nodes are too many", place->processes,
                            place->node_count);
    place->local_rank = 0;
    place->local_world_size = place->processes;
    place->rank = place->node_rank * place->processes;
    place->world_size = place->node_count * place->processes;
    return 0;
}

static int place_plain(struct dt_place *place, const struct dt_options *options,
                       struct dt_error *err)
{
    int nnodes = options->nnodes ? options->nnodes : 1;
    if (options->node_rank < 0 && nnodes > 1)
        return dt_error_set(err, "--nnodes %d needs --node-rank: the number of this node, 0 to %d",
                            nnodes, nnodes - 1);
    if (options->node_rank >= nnodes)
        return dt_error_set(err, "--node-rank is %d but --nnodes is %d: it must be below it",
                            options->node_rank, nnodes);
    const char *addr = getenv("MASTER_ADDR");
    if (nnodes > 1 && !options->master_addr && !(addr && *addr))
        return dt_error_set(err, "--nnodes %d needs --master-addr: the address of node 0", nnodes);
    place->adapter = "plain";
    place->node_count = nnodes;
    place->node_rank = options->node_rank < 0 ? 0 : options->node_rank;
    return fill_fanout(place, options, err);
}

/* In a batch script or salloc shell dt-launch would start on the first node only. */
static int refuse_forgotten_srun(struct dt_error *err)
{
    const char *nodes = getenv("SLURM_JOB_NUM_NODES");
    if (!getenv("SLURM_JOB_ID") || !nodes || atoi(nodes) <= 1)
        return 0;
    return dt_error_set(err,
                        "this is a Slurm allocation of %s nodes, but dt-launch runs outside srun "
                        "and would use this node only: type srun dt-launch ..., or --nnodes 1",
                        nodes);
}

static bool in_step(void)
{
    return getenv("SLURM_STEP_ID") && getenv("SLURM_PROCID") &&
           (getenv("SLURM_STEP_NODELIST") || getenv("SLURM_STEP_NUM_TASKS"));
}

static int refuse_plain_in_step(const struct dt_options *options, struct dt_error *err)
{
    if (options->nnodes == 0 && options->node_rank < 0)
        return 0;
    return dt_error_set(err, "%s contradicts srun, which has numbered the nodes already: drop it",
                        options->nnodes ? "--nnodes" : "--node-rank");
}

static int refuse_store(const struct dt_place *place, const struct dt_options *options,
                        struct dt_error *err)
{
    if (place->shape == DT_SHAPE_FANOUT || options->store != DT_STORE_LAUNCHER)
        return 0;
    return dt_error_set(err, "--store launcher needs --nproc-per-node and one task of srun a node");
}

int dt_place_find(struct dt_place *place, const struct dt_options *options, bool *everywhere,
                  struct dt_error *err)
{
    *place = (struct dt_place){.job = -1, .step = -1, .node_count = 1};
    *everywhere = true;
    place->node_name = own_name();
    if (!place->node_name)
        return dt_error_set(err, "out of memory");
    int result;
    if (in_step()) {
        place->in_step = true;
        result = refuse_plain_in_step(options, err) ||
                         dt_place_slurm(place, options, everywhere, err) ||
                         refuse_store(place, options, err) ||
                         (place->shape == DT_SHAPE_FANOUT && fill_fanout(place, options, err))
                     ? -1
                     : 0;
    } else if (options->per_task) {
        result = dt_error_set(err, "--per-task wraps the tasks of srun, and this is no Slurm step: "
                                   "type srun dt-launch ...");
    } else if (options->nnodes || options->node_rank >= 0) {
        result = place_plain(place, options, err);
    } else {
        place->adapter = "alone";
        result = refuse_forgotten_srun(err) || fill_fanout(place, options, err) ? -1 : 0;
    }
    if (result)
        dt_place_fini(place);
    return result;
}

void dt_place_fini(struct dt_place *place)
{
    free(place->node_name);
    free(place->first_node);
    *place = (struct dt_place){0};
}

bool dt_place_serves(const struct dt_place *place, const struct dt_options *options)
{
    return place->shape == DT_SHAPE_FANOUT && options->store != DT_STORE_RANK0;
}
