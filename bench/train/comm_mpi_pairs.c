/* SPDX-License-Identifier: Apache-2.0 */
/* Messages between two ranks by MPI, which keeps those of a pair in order. */
#include <stdlib.h>

#include "comm_mpi.h"

#define MOST_BYTES ((size_t)1 << 30) /* counts of MPI are int */

enum { TAG = 16384 }; /* above those of the collectives */

/* A message, or a part of a very large one. */
struct dt_mpi_part {
    struct dt_message *message;
    size_t bytes;
    MPI_Request request;
};

static int make_room(struct dt_mpi_pairs *pairs, struct dt_comm *comm, struct dt_error *err)
{
    if (pairs->count < pairs->capacity)
        return 0;
    size_t capacity = pairs->capacity ? 2 * pairs->capacity : 16;
    struct dt_mpi_part *grown = realloc(pairs->parts, capacity * sizeof *grown);
    if (!grown)
        return dt_comm_break(comm, err, "no memory for %zu messages", capacity);
    pairs->parts = grown;
    pairs->capacity = capacity;
    return 0;
}

int dt_mpi_pairs_start(struct dt_mpi_pairs *pairs, struct dt_comm *comm, MPI_Comm group,
                       struct dt_message *m, struct dt_error *err)
{
    comm->under_way++;
    for (size_t at = 0; at == 0 || at < m->bytes;) {
        if (make_room(pairs, comm, err) < 0)
            return -1;
        struct dt_mpi_part *part = &pairs->parts[pairs->count++];
        size_t bytes = m->bytes - at < MOST_BYTES ? m->bytes - at : MOST_BYTES;
        *part = (struct dt_mpi_part){.message = m, .bytes = bytes};
        int code = m->sent ? MPI_Isend(m->data + at, (int)bytes, MPI_BYTE, m->peer, TAG, group,
                                       &part->request)
                           : MPI_Irecv(m->data + at, (int)bytes, MPI_BYTE, m->peer, TAG, group,
                                       &part->request);
        if (dt_mpi_check(comm, code, m->sent ? "send" : "receive", err) < 0)
            return -1;
        at += bytes > 0 ? bytes : 1;
    }
    return 0;
}

int dt_mpi_pairs_poll(struct dt_mpi_pairs *pairs, struct dt_comm *comm, struct dt_error *err)
{
    size_t kept = 0;
    for (size_t i = 0; i < pairs->count; i++) {
        struct dt_mpi_part part = pairs->parts[i];
        int done = 0;
        if (dt_mpi_check(comm, MPI_Test(&part.request, &done, MPI_STATUS_IGNORE),
                         "waiting for a message", err) < 0)
            return -1;
        if (!done) {
            pairs->parts[kept++] = part;
            continue;
        }
        part.message->moved += part.bytes;
        part.message->done = part.message->moved == part.message->bytes;
        comm->under_way -= part.message->done;
    }
    pairs->count = kept;
    return 0;
}

void dt_mpi_pairs_close(struct dt_mpi_pairs *pairs)
{
    free(pairs->parts);
    *pairs = (struct dt_mpi_pairs){0};
}
