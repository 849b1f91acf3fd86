/* SPDX-License-Identifier: Apache-2.0 */
/* Faults of communication that tests plant by putting them in place of a group's operations. */
#ifndef DT_TESTS_TRAIN_FAULTS_H
#define DT_TESTS_TRAIN_FAULTS_H

#include <string.h>

#include "comm.h"

/* What the group does when it is whole; set by who plants. Ranks are threads. */
static _Thread_local struct dt_comm_operations real_operations;

/* All is there, one place too far. */
static int shift_sum(struct dt_comm *comm, void *data, size_t count, enum dt_comm_type type,
                     struct dt_error *err)
{
    memmove((char *)data + sizeof(real), data, (count - 1) * sizeof(real));
    return real_operations.sum_start(comm, data, count, type, err);
}

static int shift_scatter(struct dt_comm *comm, real *all, real *mine, size_t count,
                         struct dt_error *err)
{
    memmove(all + 1, all, (count * (size_t)comm->size - 1) * sizeof *all);
    return real_operations.scatter_start(comm, all, mine, count, err);
}

#endif
