/* SPDX-License-Identifier: Apache-2.0 */
/* What a bad NIC or memory does to one rank: a bit of a sum that arrives is wrong, once. Loaded into
 * dt-train by LD_PRELOAD; FLIP_RANK is the rank (of OMPI_COMM_WORLD_RANK or RANK), FLIP_SUM the number of
 * the sum among those of 1000 bytes or more that come by message. With FLIP_NAN it is no number then. */
#include <mpi.h>
#include <stdlib.h>
#include <string.h>

static unsigned *result;
static MPI_Request *carrier;

static int is_victim(void)
{
    const char *rank = getenv("OMPI_COMM_WORLD_RANK"), *wanted = getenv("FLIP_RANK");
    if (!rank)
        rank = getenv("RANK");
    return rank && wanted && strcmp(rank, wanted) == 0;
}

int MPI_Irecv(void *out, int bytes, MPI_Datatype type, int from, int tag, MPI_Comm comm,
              MPI_Request *request)
{
    if (bytes >= 1000 && tag % 2 == 1) { /* sums that another rank has made */
        result = out;
        carrier = request;
    }
    return PMPI_Irecv(out, bytes, type, from, tag, comm, request);
}

int MPI_Testall(int count, MPI_Request *requests, int *done, MPI_Status *statuses)
{
    static int sums;
    int code = PMPI_Testall(count, requests, done, statuses);
    if (*done && result && carrier >= requests && carrier < requests + count) {
        if (++sums == atoi(getenv("FLIP_SUM")) && is_victim())
            result[100] = getenv("FLIP_NAN") ? 0x7fc00000 : result[100] ^ 1u << 22;
        result = NULL;
    }
    return code;
}
