/* SPDX-License-Identifier: Apache-2.0 */
/* A small MPI program: a token goes round all ranks, then all ranks sum up numbers of their own. Rank 0 prints
 * one line that only comes out so when each rank is there once. */
#include <mpi.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    int rank, world;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &world);
    unsigned token = 1;
    if (rank)
        MPI_Recv(&token, 1, MPI_UNSIGNED, rank - 1, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    token = token * 31 + (unsigned)rank;
    MPI_Send(&token, 1, MPI_UNSIGNED, (rank + 1) % world, 0, MPI_COMM_WORLD);
    if (!rank)
        MPI_Recv(&token, 1, MPI_UNSIGNED, world - 1, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    double mine = 1.0 / (rank + 3), sum;
    MPI_Reduce(&mine, &sum, 1, MPI_DOUBLE, MPI_SUM, 0, MPI_COMM_WORLD);
    if (!rank)
        printf("result: world %d token %u sum %a\n", world, token, sum);
    MPI_Finalize();
    return 0;
}
