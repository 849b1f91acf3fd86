/* SPDX-License-Identifier: Apache-2.0 */
/* Sums over the ranks of a node, three ways in turn in each round: the shared window of dt-train,
 * MPI_Allreduce, and, as the limit, a concurrent memcpy. Prints GB/s of bus (2 (n-1)/n x bytes / time)
 * and ratios inside rounds: median and spread.
 *
 * Concurrent memcpy: every rank copies, at the same time and in memory of its own, as many bytes as
 * the bus of the sum counts, 2 (n-1)/n x bytes, once, from one buffer to another. With two ranks that is
 * each rank's 64 MB read and 64 MB written for a sum of 64 MB. */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

#include "comm.h"

enum { ROUNDS = 9, SIZES = 6 };

static const size_t sizes[SIZES] = {64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20, 64 << 20};

struct buffers {
    struct dt_comm *comm;
    real *window, *plain, *from, *to;
};

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void __attribute__((noreturn)) stop(const char *what)
{
    fprintf(stderr, "bench_comm: %s\n", what);
    MPI_Abort(MPI_COMM_WORLD, 1);
    exit(1); /* Open MPI's headers do not say that it never returns */
}

static void window_sum(const struct buffers *b, size_t count)
{
    struct dt_error err;
    if (dt_comm_sum(b->comm, b->window, count, DT_COMM_REAL, &err) < 0)
        stop(err.text);
}

static void mpi_sum(const struct buffers *b, size_t count)
{
    MPI_Allreduce(MPI_IN_PLACE, b->plain, (int)count, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
}

static size_t bus_count(const struct dt_comm *comm, size_t count)
{
    size_t n = (size_t)comm->size;
    return 2 * (n - 1) * count / n;
}

static void copy(const struct buffers *b, size_t count)
{
    memcpy(b->to, b->from, bus_count(b->comm, count) * sizeof(real));
    __asm__ volatile("" ::: "memory"); /* it is made */
}

/* Seconds of one call, of the slowest rank. */
static double measure(const struct buffers *b, void (*call)(const struct buffers *, size_t),
                      size_t count)
{
    size_t bytes = count * sizeof(real);
    int times = bytes >= (16 << 20) ? 3 : (int)((48 << 20) / bytes);
    call(b, count);
    MPI_Barrier(MPI_COMM_WORLD);
    double begin = MPI_Wtime();
    for (int i = 0; i < times; i++)
        call(b, count);
    double seconds = (MPI_Wtime() - begin) / times;
    MPI_Allreduce(MPI_IN_PLACE, &seconds, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    return seconds;
}

static void row(const struct buffers *b, size_t bytes)
{
    double window[ROUNDS], against_mpi[ROUNDS], against_copy[ROUNDS];
    size_t count = bytes / sizeof(real);
    double bus = (double)(bus_count(b->comm, count) * sizeof(real)) * 1e-9;
    for (int r = 0; r < ROUNDS; r++) {
        double mine = measure(b, window_sum, count);
        against_mpi[r] = measure(b, mpi_sum, count) / mine;
        against_copy[r] = measure(b, copy, count) / mine;
        window[r] = bus / mine;
    }
    qsort(window, ROUNDS, sizeof *window, ascending);
    qsort(against_mpi, ROUNDS, sizeof *against_mpi, ascending);
    qsort(against_copy, ROUNDS, sizeof *against_copy, ascending);
    if (b->comm->rank == 0)
        printf("%8zu KB %8.1f GB/s   %5.2f (%.2f to %.2f)   %5.2f (%.2f to %.2f)\n", bytes >> 10,
               window[ROUNDS / 2], against_mpi[ROUNDS / 2], against_mpi[0], against_mpi[ROUNDS - 1],
               against_copy[ROUNDS / 2], against_copy[0], against_copy[ROUNDS - 1]);
}

int main(void)
{
    struct dt_comm comm;
    struct dt_error err;
    size_t most = sizes[SIZES - 1] / sizeof(real);
    if (!dt_comm_launched() || dt_comm_open(&comm, DT_COMM_AUTO, &err) < 0) {
        fprintf(stderr, "bench_comm: start it with mpirun -np 2\n");
        return 1;
    }
    if (comm.size < 2 || strcmp(comm.manner, "shared window") != 0)
        stop("two ranks or more of one node are wanted, with shared memory");
    size_t copied = bus_count(&comm, most);
    struct buffers b = {.comm = &comm,
                        .window = comm.operations->memory(&comm, most),
                        .plain = calloc(most, sizeof(real)),
                        .from = calloc(copied, sizeof(real)),
                        .to = calloc(copied, sizeof(real))};
    if (!b.window || !b.plain || !b.from || !b.to)
        stop("no memory");
    memset(b.from, 1, copied * sizeof(real)); /* untouched pages would all be one and the same */
    if (comm.rank == 0)
        printf("memcpy: %d ranks at once, %.2f x the bytes of the sum each\n"
               "%11s %13s   %-20s   %s\n",
               comm.size, (double)copied / (double)most, "sum of", "window, bus", "x MPI_Allreduce",
               "x concurrent memcpy");
    for (int i = 0; i < SIZES; i++)
        row(&b, sizes[i]);
    free(b.plain);
    free(b.from);
    free(b.to);
    comm.operations->close(&comm);
    return 0;
}
