/* SPDX-License-Identifier: Apache-2.0 */
/* What comm_mpi*.c share: the collectives of one group, messages between two of its ranks, and groups
 * made of groups. Nothing else includes this. */
#ifndef DT_TRAIN_COMM_MPI_H
#define DT_TRAIN_COMM_MPI_H

#include <mpi.h>

#include "comm.h"

/* -1, with the sentence of MPI, when code is not MPI_SUCCESS. */
int dt_mpi_check(struct dt_comm *comm, int code, const char *what, struct dt_error *err);

/* comm_mpi_pairs.c: the messages of this rank that are under way. */
struct dt_mpi_part;
struct dt_mpi_pairs {
    struct dt_mpi_part *parts;
    size_t count, capacity;
};
int dt_mpi_pairs_start(struct dt_mpi_pairs *pairs, struct dt_comm *comm, MPI_Comm group,
                       struct dt_message *message, struct dt_error *err);
int dt_mpi_pairs_poll(struct dt_mpi_pairs *pairs, struct dt_comm *comm, struct dt_error *err);
void dt_mpi_pairs_close(struct dt_mpi_pairs *pairs);

/* Fills `comm` for the ranks of `group`, which it takes over. */
int dt_mpi_messages_open(struct dt_comm *comm, MPI_Comm group, struct dt_error *err);
extern const struct dt_comm_operations dt_mpi_messages_operations;

#endif
