/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes that nobody has numbered but the user: --nnodes, --node-rank, --master-addr, or torchrun's
 * --rdzv-endpoint. */
#include <stdlib.h>
#include <string.h>

#include "hosts.h"
#include "place_plain.h"

static int number_node(struct dt_place *place, const struct dt_options *options,
                       struct dt_error *err)
{
    int nnodes = place->node_count;
    if (options->node_rank >= nnodes)
        return dt_error_set(err, "--node-rank is %d but --nnodes is %d: it must be below it",
                            options->node_rank, nnodes);
    if (options->node_rank >= 0 || nnodes == 1) {
        place->node_rank = options->node_rank < 0 ? 0 : options->node_rank;
        return 0;
    }
    bool first = options->endpoint && dt_hosts_is_own(options->endpoint);
    if (!first && !(options->endpoint && nnodes == 2))
        return dt_error_set(err, "--nnodes %d needs --node-rank: the number of this node, 0 to %d",
                            nnodes, nnodes - 1);
    place->node_rank = first ? 0 : 1;
    return 0;
}

int dt_place_plain(struct dt_place *place, const struct dt_options *options, struct dt_error *err)
{
    const char *addr = getenv("MASTER_ADDR");
    place->node_count = options->nnodes ? options->nnodes : 1;
    if (number_node(place, options, err))
        return -1;
    if (options->endpoint && dt_place_first(place, options->endpoint, err))
        return -1;
    place->first_port = options->endpoint_port;
    if (place->node_count > 1 && !options->master_addr && !options->endpoint && !(addr && *addr))
        return dt_error_set(err, "--nnodes %d needs --master-addr: the address of node 0",
                            place->node_count);
    return 0;
}

/* Half of what a platform tells: the other half was lost, mostly on the way into a container. */
static int refuse_half(struct dt_error *err)
{
    static const struct {
        const char *there, *lacks, *platform, *within;
        int alone; /* a greater number tells of other nodes */
    } halves[] = {
        {"AWS_BATCH_JOB_NUM_NODES", "AWS_BATCH_JOB_NODE_INDEX", "AWS Batch", NULL, 1},
        {"AWS_BATCH_JOB_NODE_INDEX", "AWS_BATCH_JOB_NUM_NODES", "AWS Batch", NULL, -1},
        {"SM_HOSTS", "SM_CURRENT_HOST", "SageMaker", NULL, 1},
        {"WORLD_SIZE", "RANK", "PyTorchJob", "KUBERNETES_SERVICE_HOST", 1},
        {"SLURM_STEP_NUM_TASKS", "SLURM_PROCID", "Slurm", "SLURM_STEP_ID", 1},
    };
    for (size_t i = 0; i < sizeof halves / sizeof *halves; i++) {
        const char *value = getenv(halves[i].there);
        if (!value || getenv(halves[i].lacks) || getenv("LOCAL_RANK") ||
            (halves[i].within && !getenv(halves[i].within)) ||
            !(atoi(value) > halves[i].alone || strchr(value, ',')))
            continue;
        return dt_error_set(
            err,
            "%s is \"%.60s\", but %s is not set: that is half of what %s tells, and each "
            "node would be a job of its own; hand both on (into a container, too), or "
            "give --platform alone",
            halves[i].there, value, halves[i].lacks, halves[i].platform);
    }
    return 0;
}

int dt_place_alone(struct dt_place *place, const struct dt_options *options, struct dt_error *err)
{
    const char *nodes = getenv("SLURM_JOB_NUM_NODES");
    /* In a batch script or salloc shell dt-launch would start on the first node only. */
    if (options->platform == DT_PLATFORM_AUTO && getenv("SLURM_JOB_ID") && nodes && atoi(nodes) > 1)
        return dt_error_set(
            err,
            "this is a Slurm allocation of %s nodes, but dt-launch runs outside srun and "
            "would use this node only: type srun dt-launch ..., or dt-launch --nodes N, or "
            "--nnodes 1",
            nodes);
    if (options->platform == DT_PLATFORM_AUTO && refuse_half(err))
        return -1;
    place->node_count = 1;
    place->node_rank = 0;
    return 0;
}
