/* SPDX-License-Identifier: Apache-2.0 */
/* Communication through memory that all ranks of a group see. Where that memory comes from (MPI,
 * threads of a test) is given by the caller. */
#ifndef DT_TRAIN_COMM_WINDOW_H
#define DT_TRAIN_COMM_WINDOW_H

#include "comm.h"

/* All ranks call take together, for the same size: bases[r] is where this process sees the zeroed
 * bytes of rank r, aligned to a cache line. -1 on all ranks when one of them can not. */
struct dt_window_memory {
    int (*take)(void *context, size_t bytes, void **bases);
    void (*close)(void *context); /* gives all back */
    void *context;
};

/* Fills rank, size, state and the operations' table but for split and abort, which stay what they
 * are in `operations`. Takes over `memory`, also when it fails. */
int dt_comm_window_open(struct dt_comm *comm, int rank, int size,
                        const struct dt_window_memory *memory, struct dt_error *err);

/* The operations of a window, for a table with split and abort of its own. */
extern const struct dt_comm_operations dt_comm_window_operations;

#endif
