/* SPDX-License-Identifier: Apache-2.0 */
/* Is there a launcher, and so other ranks to talk to? */
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

int dt_comm_open(struct dt_comm *comm, enum dt_comm_manner manner, struct dt_error *err)
{
    if (dt_comm_launched())
        return dt_comm_mpi_open(comm, manner, err);
    const char *tasks = getenv("SLURM_STEP_NUM_TASKS");
    dt_comm_single_open(comm);
    if (tasks && getenv("SLURM_PROCID") && atoi(tasks) > 1)
        return dt_error_set(err,
                            "srun started %s ranks without an MPI interface, so each would "
                            "train alone; add --mpi=pmix to srun",
                            tasks);
    return 0;
}
