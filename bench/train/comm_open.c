/* SPDX-License-Identifier: Apache-2.0 */
/* Is there a launcher, and so other ranks to talk to? Ranks that can not be reached must not train each
 * for itself. */
#include "comm.h"

#include <stdlib.h>

bool dt_comm_launched(void)
{
    static const char *const names[] = {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK", "PMI_FD"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (getenv(names[i]))
            return true;
    return false;
}

/* How many ranks there are by two variables; 0: these do not say. *first: this is rank 0. */
static int ranks_by(const char *size, const char *rank, bool *first)
{
    const char *ranks = getenv(size), *number = getenv(rank);
    *first = number && atoi(number) == 0;
    return ranks && number ? atoi(ranks) : 0;
}

/* MPI knows of this rank alone. Where there are others, rank 0 says so for all. */
static int check_alone(struct dt_error *err)
{
    bool first;
    int ranks = getenv("TORCHELASTIC_RUN_ID") ? ranks_by("WORLD_SIZE", "RANK", &first) : 0;
    if (ranks > 1)
        return !first ? -1
                      : dt_error_set(
                            err,
                            "%d ranks were started by an agent (dt-launch --nproc-per-node, "
                            "torchrun), which MPI does not know, so each would train alone; start "
                            "them by srun --mpi=pmix ... dt-launch -- dt-train, or by mpirun",
                            ranks);
    ranks = ranks_by("SLURM_STEP_NUM_TASKS", "SLURM_PROCID", &first);
    if (ranks > 1)
        return !first
                   ? -1
                   : dt_error_set(err,
                                  "srun started %d ranks without an MPI interface, so each would "
                                  "train alone; add --mpi=pmix to srun",
                                  ranks);
    return 0;
}

int dt_comm_open(struct dt_comm *comm, enum dt_comm_manner manner, struct dt_error *err)
{
    if (!dt_comm_launched())
        dt_comm_single_open(comm);
    else if (dt_comm_mpi_open(comm, manner, err) < 0)
        return -1;
    if (comm->size > 1 || check_alone(err) == 0)
        return 0;
    comm->operations->close(comm);
    return -1;
}
