/* SPDX-License-Identifier: Apache-2.0 */
/* What comm_mpi.c and comm_mpi_groups.c share: the messages of one group, and groups made of
 * groups. Nothing else includes this. */
#ifndef DT_TRAIN_COMM_MPI_H
#define DT_TRAIN_COMM_MPI_H

#include <mpi.h>

#include "comm.h"

/* -1, with the sentence of MPI, when code is not MPI_SUCCESS. */
int dt_mpi_check(struct dt_comm *comm, int code, const char *what, struct dt_error *err);

/* Fills `comm` for the ranks of `group`, which it takes over. */
int dt_mpi_messages_open(struct dt_comm *comm, MPI_Comm group, struct dt_error *err);
extern const struct dt_comm_operations dt_mpi_messages_operations;

#endif
