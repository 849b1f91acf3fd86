/* SPDX-License-Identifier: Apache-2.0 */
/* A communicator that records: what a rank gives to each kind of operation of a group, which goes on to the real one. */
#ifndef DT_TESTS_TRAIN_RECORD_H
#define DT_TESTS_TRAIN_RECORD_H

#include "comm.h"

enum record_kind {
    RECORD_SUM,
    RECORD_SCATTER,
    RECORD_GATHER,
    RECORD_EXCHANGE,
    RECORD_SEND,
    RECORD_KINDS
};

struct record {
    struct dt_comm_operations operations; /* first: found by comm->operations */
    const struct dt_comm_operations *real;
    size_t calls[RECORD_KINDS],
        count[RECORD_KINDS]; /* count: reals, of all ranks where it is gathered or scattered */
};

static struct record *record_of(struct dt_comm *comm, enum record_kind kind, size_t count)
{
    struct record *record = (struct record *)comm->operations;
    record->calls[kind]++;
    record->count[kind] += count;
    return record;
}

static int record_sum(struct dt_comm *comm, void *data, size_t count, enum dt_comm_type type,
                      struct dt_error *err)
{
    return record_of(comm, RECORD_SUM, count)->real->sum_start(comm, data, count, type, err);
}

static int record_scatter(struct dt_comm *comm, real *all, real *mine, size_t count,
                          struct dt_error *err)
{
    return record_of(comm, RECORD_SCATTER, count * (size_t)comm->size)
        ->real->scatter_start(comm, all, mine, count, err);
}

static int record_gather(struct dt_comm *comm, const real *mine, real *all, size_t count,
                         struct dt_error *err)
{
    return record_of(comm, RECORD_GATHER, count * (size_t)comm->size)
        ->real->gather_start(comm, mine, all, count, err);
}

static int record_exchange(struct dt_comm *comm, const real *all, const size_t *send, real *mine,
                           const size_t *receive, size_t most, struct dt_error *err)
{
    size_t count = 0;
    for (int r = 0; r < comm->size; r++)
        count += send[r];
    return record_of(comm, RECORD_EXCHANGE, count)
        ->real->all_to_all_start(comm, all, send, mine, receive, most, err);
}

static int record_send(struct dt_comm *comm, struct dt_message *message, const real *data,
                       size_t count, int to, struct dt_error *err)
{
    return record_of(comm, RECORD_SEND, count)
        ->real->send_start(comm, message, data, count, to, err);
}

static void record_begin(struct record *record, struct dt_comm *comm)
{
    *record = (struct record){.operations = *comm->operations, .real = comm->operations};
    record->operations.sum_start = record_sum;
    record->operations.scatter_start = record_scatter;
    record->operations.gather_start = record_gather;
    record->operations.all_to_all_start = record_exchange;
    record->operations.send_start = record_send;
    comm->operations = &record->operations;
}

static void record_end(struct record *record, struct dt_comm *comm)
{
    comm->operations = record->real;
}

#endif
