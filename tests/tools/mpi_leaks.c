/* SPDX-License-Identifier: Apache-2.0 */
/* Loaded before a program of MPI (LD_PRELOAD): counts what it takes from MPI and gives back, and at
 * MPI_Finalize says what is left: "mpi-leaks: rank 0: 0 of 5 communicators, ..." on standard error.
 * By MPI's profiling interface: each call here stands before the real one, PMPI_*. */
#include <mpi.h>
#include <stdio.h>

static int communicators, communicators_taken;
static int windows, windows_taken;
static int requests, requests_taken;
static int infos, infos_taken;

static int took(int code, int *left, int *taken)
{
    if (code == MPI_SUCCESS) {
        ++*left;
        ++*taken;
    }
    return code;
}

int MPI_Comm_dup(MPI_Comm comm, MPI_Comm *made)
{
    return took(PMPI_Comm_dup(comm, made), &communicators, &communicators_taken);
}

int MPI_Comm_split(MPI_Comm comm, int color, int key, MPI_Comm *made)
{
    int code = PMPI_Comm_split(comm, color, key, made);
    return *made == MPI_COMM_NULL ? code : took(code, &communicators, &communicators_taken);
}

int MPI_Comm_split_type(MPI_Comm comm, int type, int key, MPI_Info info, MPI_Comm *made)
{
    int code = PMPI_Comm_split_type(comm, type, key, info, made);
    return *made == MPI_COMM_NULL ? code : took(code, &communicators, &communicators_taken);
}

int MPI_Comm_free(MPI_Comm *comm)
{
    communicators--;
    return PMPI_Comm_free(comm);
}

int MPI_Win_allocate_shared(MPI_Aint size, int unit, MPI_Info info, MPI_Comm comm, void *base,
                            MPI_Win *made)
{
    return took(PMPI_Win_allocate_shared(size, unit, info, comm, base, made), &windows,
                &windows_taken);
}

int MPI_Win_free(MPI_Win *window)
{
    windows--;
    return PMPI_Win_free(window);
}

int MPI_Info_create(MPI_Info *made)
{
    return took(PMPI_Info_create(made), &infos, &infos_taken);
}

int MPI_Info_free(MPI_Info *info)
{
    infos--;
    return PMPI_Info_free(info);
}

/* ---- requests: over when a test finds them so ---------------------------------------------------- */

int MPI_Isend(const void *data, int count, MPI_Datatype type, int to, int tag, MPI_Comm comm,
              MPI_Request *made)
{
    return took(PMPI_Isend(data, count, type, to, tag, comm, made), &requests, &requests_taken);
}

int MPI_Irecv(void *data, int count, MPI_Datatype type, int from, int tag, MPI_Comm comm,
              MPI_Request *made)
{
    return took(PMPI_Irecv(data, count, type, from, tag, comm, made), &requests, &requests_taken);
}

int MPI_Ibcast(void *data, int count, MPI_Datatype type, int root, MPI_Comm comm, MPI_Request *made)
{
    return took(PMPI_Ibcast(data, count, type, root, comm, made), &requests, &requests_taken);
}

int MPI_Iallgather(const void *mine, int count, MPI_Datatype type, void *all, int each,
                   MPI_Datatype of_all, MPI_Comm comm, MPI_Request *made)
{
    return took(PMPI_Iallgather(mine, count, type, all, each, of_all, comm, made), &requests,
                &requests_taken);
}

int MPI_Test(MPI_Request *request, int *done, MPI_Status *status)
{
    int was = *request != MPI_REQUEST_NULL, code = PMPI_Test(request, done, status);
    requests -= was && *request == MPI_REQUEST_NULL;
    return code;
}

int MPI_Testall(int count, MPI_Request *list, int *done, MPI_Status *status)
{
    int before = 0, after = 0;
    for (int i = 0; i < count; i++)
        before += list[i] != MPI_REQUEST_NULL;
    int code = PMPI_Testall(count, list, done, status);
    for (int i = 0; i < count; i++)
        after += list[i] != MPI_REQUEST_NULL;
    requests -= before - after;
    return code;
}

int MPI_Finalize(void)
{
    int rank;
    PMPI_Comm_rank(MPI_COMM_WORLD, &rank);
    fprintf(stderr,
            "mpi-leaks: rank %d: %d of %d communicators, %d of %d windows, %d of %d requests, %d "
            "of %d infos\n",
            rank, communicators, communicators_taken, windows, windows_taken, requests,
            requests_taken, infos, infos_taken);
    return PMPI_Finalize();
}
