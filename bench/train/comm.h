/* SPDX-License-Identifier: Apache-2.0 */
/* All communication of the training core, as one small interface: MPI (comm_mpi.c), and one process
 * alone (comm_single.c). Sums are started, moved on by poll while there is other work, and waited
 * for by drain; the others block. Every rank calls the same functions in the same order. */
#ifndef DT_TRAIN_COMM_H
#define DT_TRAIN_COMM_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "real.h"

enum dt_comm_type { DT_COMM_REAL, DT_COMM_DOUBLE };

struct dt_comm {
    int rank, size;
    bool broken; /* an operation failed: other ranks may wait for ever, so end with abort */
    const struct dt_comm_operations *operations;
    void *state;
};

struct dt_comm_operations {
    int (*sum_start)(struct dt_comm *comm, void *data, size_t count, enum dt_comm_type type,
                     struct dt_error *err);
    int (*poll)(struct dt_comm *comm, struct dt_error *err);
    int (*drain)(struct dt_comm *comm, struct dt_error *err);
    int (*broadcast)(struct dt_comm *comm, void *data, size_t bytes, int root,
                     struct dt_error *err);
    int (*allgather)(struct dt_comm *comm, const void *mine, void *all, size_t bytes,
                     struct dt_error *err);
    void (*abort)(struct dt_comm *comm, int code); /* ends every rank; does not return under MPI */
    void (*close)(struct dt_comm *comm);           /* every rank calls it */
};

/* With no launcher in sight this is one process alone, and MPI is not even initialised. */
int dt_comm_open(struct dt_comm *comm, struct dt_error *err);
bool dt_comm_launched(void);
int dt_comm_mpi_open(struct dt_comm *comm, struct dt_error *err);
void dt_comm_single_open(struct dt_comm *comm);

/* This rank alone can not go on while others wait for it: marks the communication broken, so that
 * the program ends them, too. Returns -1. */
int dt_comm_break(struct dt_comm *comm, struct dt_error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Sum of `data` over the ranks, in place; all at once. */
int dt_comm_sum(struct dt_comm *comm, void *data, size_t count, enum dt_comm_type type,
                struct dt_error *err);

/* All ranks succeed or all fail, with the sentence of the lowest that did: `failed` and `err` of
 * this rank go in, 0 or -1 comes out, and err and *code are then those of that rank, its number and
 * node named. */
int dt_comm_agree(struct dt_comm *comm, bool failed, int *code, struct dt_error *err);

/* CPUs that this rank may count as its own: those of its affinity mask, shared with the ranks of
 * the same node whose masks overlap. At least 1. */
int dt_comm_cpu_share(struct dt_comm *comm, int *cpus, struct dt_error *err);

#endif
