/* SPDX-License-Identifier: Apache-2.0 */
/* The adapter for mpirun of Open MPI, which starts one dt-launch for each rank (they are wrapped), or,
 * with --nproc-per-node and one a node (mpirun --npernode 1), agents. Where rank 0 is it does not
 * say; mpirun's own address is in OMPI_MCA_orte_hnp_uri (4) or PMIX_SERVER_URI2 and the like (5), and
 * rank 0 is next to mpirun in all but odd host files. */
#include <stdlib.h>
#include <string.h>

#include "place.h"

/* An agent gives its ranks Open MPI's numbers, too, but takes PMIX_RANK away; srun gives only that. */
static bool openmpi_present(void)
{
    return getenv("PMIX_RANK") && getenv("OMPI_COMM_WORLD_RANK") &&
           getenv("OMPI_COMM_WORLD_SIZE") && getenv("OMPI_COMM_WORLD_LOCAL_RANK") &&
           getenv("OMPI_COMM_WORLD_LOCAL_SIZE");
}

/* "1234.0;tcp://10.0.0.5,192.168.1.1:41911": the first address. */
static int find_first(struct dt_place *place, struct dt_error *err)
{
    const char *uri = getenv("OMPI_MCA_orte_hnp_uri");
    const char *at = uri ? strstr(uri, "tcp://") : NULL;
    if (!at)
        return 0;
    at += strlen("tcp://");
    char *address = strndup(at, strcspn(at, ",:;"));
    int result = address ? dt_place_first(place, address, err) : dt_error_set(err, "out of memory");
    free(address);
    return result;
}

static int openmpi_find(struct dt_place *place, const struct dt_options *options,
                        struct dt_error *err)
{
    static const char platform[] = "mpirun";
    int rank, size, local_rank, local_size;
    if (dt_place_number(platform, "OMPI_COMM_WORLD_SIZE", 1, 1 << 26, &size, err) ||
        dt_place_number(platform, "OMPI_COMM_WORLD_RANK", 0, size - 1, &rank, err) ||
        dt_place_number(platform, "OMPI_COMM_WORLD_LOCAL_SIZE", 1, size, &local_size, err) ||
        dt_place_number(platform, "OMPI_COMM_WORLD_LOCAL_RANK", 0, local_size - 1, &local_rank,
                        err))
        return -1;
    if (options->nproc != DT_NPROC_UNSET) {
        if (local_size > 1)
            return dt_error_set(err,
                                "mpirun starts %d processes on this node and --nproc-per-node "
                                "would start processes in each: use mpirun --npernode 1, or drop "
                                "--nproc-per-node",
                                local_size);
        place->node_rank = rank;
        place->node_count = size;
        return rank == 0 ? 0 : find_first(place, err);
    }
    place->shape = DT_SHAPE_TASK;
    place->processes = 1;
    place->rank = rank;
    place->world_size = size;
    place->local_rank = local_rank;
    place->local_world_size = local_size;
    place->node_count = (size + local_size - 1) / local_size;
    place->node_rank = (rank - local_rank) / local_size;
    return find_first(place, err);
}

const struct dt_place_adapter dt_place_openmpi = {openmpi_present, openmpi_find};
