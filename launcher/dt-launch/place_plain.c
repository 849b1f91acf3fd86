/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes that nobody has numbered but the user: --nnodes, --node-rank, --master-addr, or torchrun's
 * --rdzv-endpoint. */
#include <stdlib.h>

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
    place->node_count = 1;
    place->node_rank = 0;
    return 0;
}
