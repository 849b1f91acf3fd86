/* SPDX-License-Identifier: Apache-2.0 */
/* All communication of the training core, as one small interface to a group of ranks: a shared
 * window inside a node (comm_window.c), MPI in pieces between nodes (comm_mpi.c), and one process
 * alone (comm_single.c). Operations are started, moved on by poll while there is other work, and
 * waited for; those of one group end in the order in which they were started. Every rank of the
 * group calls the same functions in the same order, but for messages between two ranks.
 *
 * Sums are made in the order of the ranks, element by element: the same bits on every rank, in every
 * run, and whether they are summed whole or scattered. */
#ifndef DT_TRAIN_COMM_H
#define DT_TRAIN_COMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "real.h"

enum dt_comm_type { DT_COMM_REAL, DT_COMM_DOUBLE, DT_COMM_BYTE };

/* Data on the way from one rank to another. The caller owns it, and leaves it and the data alone
 * until `done`. */
struct dt_message {
    char *data;
    size_t bytes, moved;
    int peer;
    bool sent; /* from here; otherwise to here */
    bool done;
};

struct dt_kernels;

struct dt_comm {
    int rank, size;
    const char *manner;         /* for people: "shared window" */
    bool broken;                /* an operation failed: other ranks may wait for ever, so end with
                                   abort */
    uint64_t started, finished; /* operations of this group */
    size_t under_way;           /* messages of this rank that are not done */
    double
        spent_s; /* by this rank on operations of the group, starting, moving and waiting; whoever
                       reads it sets it to 0 (dt_mesh_spent) */
    const struct dt_kernels *kernels; /* of the device whose data this is; NULL: the host's */
    const struct dt_comm_operations *operations;
    void *state;
};

struct dt_comm_operations {
    /* Sum over the ranks, in place. */
    int (*sum_start)(struct dt_comm *comm, void *data, size_t count, enum dt_comm_type type,
                     struct dt_error *err);
    /* Sum over the ranks of `count` reals for each of them, of which each gets its own. `mine` may
     * be its place in `all`; otherwise `all` is left as it is. */
    int (*scatter_start)(struct dt_comm *comm, real *all, real *mine, size_t count,
                         struct dt_error *err);
    /* `count` reals of each rank, one after the other. `mine` may be its place in `all`. */
    int (*gather_start)(struct dt_comm *comm, const real *mine, real *all, size_t count,
                        struct dt_error *err);
    /* To each rank r send[r] reals, which lie one rank's after the other's in `all`; from each rank r
     * receive[r], so laid in `mine`. most: the largest count between two ranks, the same on
     * every rank. The counts must stay where they are until the operation has ended. This rank's run
     * for itself is in its place at once, and is not touched again. */
    int (*all_to_all_start)(struct dt_comm *comm, const real *all, const size_t *send, real *mine,
                            const size_t *receive, size_t most, struct dt_error *err);
    /* Between two ranks, which are not the same. Messages from one rank to another arrive in the
     * order in which they were sent, each in the receive started in that order, of as many reals;
     * they wait neither for messages of other pairs nor for the operations of the group. */
    int (*send_start)(struct dt_comm *comm, struct dt_message *message, const real *data,
                      size_t count, int to, struct dt_error *err);
    int (*receive_start)(struct dt_comm *comm, struct dt_message *message, real *data, size_t count,
                         int from, struct dt_error *err);
    int (*poll)(struct dt_comm *comm, struct dt_error *err);
    /* Where operations end behind the host's back (comm_nccl.c): what is computed from now on is
     * computed after them, up to the one of this number. NULL: they have ended when they are counted
     * as finished. */
    int (*join)(struct dt_comm *comm, uint64_t operation, struct dt_error *err);
    /* These two wait. */
    int (*broadcast)(struct dt_comm *comm, void *data, size_t bytes, int root,
                     struct dt_error *err);
    int (*allgather)(struct dt_comm *comm, const void *mine, void *all, size_t bytes,
                     struct dt_error *err);
    /* The ranks of equal color become a group, in the order of their ranks here. */
    int (*split)(struct dt_comm *comm, int color, struct dt_comm *part, struct dt_error *err);
    /* Zeroed memory from which operations of this group need not copy first; every rank takes the
     * same amounts in the same order. Plain memory where there is no such thing. NULL: none left on
     * some rank. It goes with the group. */
    real *(*memory)(struct dt_comm *comm, size_t count);
    void (*abort)(struct dt_comm *comm, int code); /* ends every rank; does not return under MPI */
    void (*close)(struct dt_comm *comm);           /* every rank calls it */
};

/* How a group inside one node talks: through a shared window where one can be had, or by MPI. */
enum dt_comm_manner { DT_COMM_AUTO, DT_COMM_MPI };

/* With no launcher in sight this is one process alone, and MPI is not even initialised. Fails where there are ranks that MPI
 * does not know; without a sentence on all but the first of them. */
int dt_comm_open(struct dt_comm *comm, enum dt_comm_manner manner, struct dt_error *err);
bool dt_comm_launched(void);
int dt_comm_mpi_open(struct dt_comm *comm, enum dt_comm_manner manner, struct dt_error *err);
void dt_comm_single_open(struct dt_comm *comm);

/* This rank alone can not go on while others wait for it: marks the communication broken, so that
 * the program ends them, too. Returns -1. */
int dt_comm_break(struct dt_comm *comm, struct dt_error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Moves on what was started. */
int dt_comm_poll(struct dt_comm *comm, struct dt_error *err);

/* Until operation number `operation` (comm->started after its start) has ended; until the message
 * is done; drain: until all are. */
int dt_comm_wait(struct dt_comm *comm, uint64_t operation, struct dt_error *err);
int dt_comm_wait_message(struct dt_comm *comm, const struct dt_message *message,
                         struct dt_error *err);
int dt_comm_drain(struct dt_comm *comm, struct dt_error *err);

/* What a rank that waits does between two looks, by how often it has looked: hands its core on, and
 * ends the process when SIGTERM came and another rank does not answer. */
void dt_comm_step_aside(unsigned turn);

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
