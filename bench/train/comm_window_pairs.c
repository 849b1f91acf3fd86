/* SPDX-License-Identifier: Apache-2.0 */
/* Messages through shared memory; see comm_window_pairs.h. For each rank that it may send to, a
 * sender has a short ring of parcels, each of which names a place in the sender's memory, and counts
 * those that it has sent. The receiver counts the parcels that it has read, and the messages for
 * which a receive was started. */
#include "comm_window_pairs.h"

#include <stdatomic.h>
#include <stdlib.h>

enum { PARCELS = 4, SLOTS = 2, SLOT_BYTES = 128 << 10 };

struct parcel {
    size_t segment, offset, bytes; /* of the sender */
};

/* In segment 0 of rank r, one for each other rank p. */
struct board {
    _Alignas(64) _Atomic uint64_t sent; /* parcels of r to p */
    struct parcel parcels[PARCELS];
    _Alignas(64) _Atomic uint64_t read; /* parcels of p by r */
    _Atomic uint64_t wanted;            /* messages of p that r has started to receive */
};

struct dt_pair_peer {
    uint64_t sends, receives;    /* started: the next one's number */
    uint64_t published, arrived; /* whole messages */
};

struct dt_pair_entry {
    struct dt_message *message;
    uint64_t number;      /* among the messages of its pair */
    uint64_t last_parcel; /* of a sent one: done when so many are read */
    size_t segment;       /* of a sent one's data; 0: through slots */
};

size_t dt_pairs_bytes(int size)
{
    return (size_t)size * sizeof(struct board) + (size_t)SLOTS * SLOT_BYTES;
}

int dt_pairs_open(struct dt_pairs *pairs, int size, size_t offset)
{
    *pairs = (struct dt_pairs){.offset = offset};
    pairs->peers = calloc((size_t)size, sizeof *pairs->peers);
    pairs->slots = calloc(SLOTS, sizeof *pairs->slots);
    return pairs->peers && pairs->slots ? 0 : -1;
}

void dt_pairs_close(struct dt_pairs *pairs)
{
    free(pairs->peers);
    free(pairs->slots);
    free(pairs->entries);
    *pairs = (struct dt_pairs){0};
}

/* Of `rank`, for its messages with `peer`. */
static struct board *board_of(const struct dt_pairs *pairs, const struct dt_segment *segments,
                              int rank, int peer)
{
    char *base = segments[0].bases[rank] + pairs->offset;
    return (struct board *)(void *)base + peer;
}

static size_t slot_offset(const struct dt_pairs *pairs, const struct dt_comm *comm, size_t slot)
{
    return pairs->offset + (size_t)comm->size * sizeof(struct board) + slot * SLOT_BYTES;
}

static uint64_t look(_Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_acquire);
}

static void advance(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_release);
}

/* A slot whose last parcel was read; SLOTS: none. */
static size_t free_slot(const struct dt_pairs *pairs, const struct dt_comm *comm,
                        const struct dt_segment *segments)
{
    for (size_t s = 0; s < SLOTS; s++)
        if (pairs->slots[s].parcel == 0 ||
            look(&board_of(pairs, segments, pairs->slots[s].to, comm->rank)->read) >=
                pairs->slots[s].parcel)
            return s;
    return SLOTS;
}

/* The next piece of the message into a free slot. */
static bool fill_slot(struct dt_pairs *pairs, const struct dt_comm *comm,
                      const struct dt_segment *segments, const struct dt_pair_entry *entry,
                      uint64_t parcel_number, struct parcel *parcel)
{
    const struct dt_message *m = entry->message;
    if (look(&board_of(pairs, segments, m->peer, comm->rank)->wanted) <= entry->number)
        return false;
    size_t slot = free_slot(pairs, comm, segments);
    if (slot == SLOTS)
        return false;
    size_t bytes = m->bytes - m->moved < SLOT_BYTES ? m->bytes - m->moved : SLOT_BYTES;
    *parcel = (struct parcel){0, slot_offset(pairs, comm, slot), bytes};
    memcpy(segments[0].bases[comm->rank] + parcel->offset, m->data + m->moved, bytes);
    pairs->slots[slot].to = m->peer;
    pairs->slots[slot].parcel = parcel_number;
    return true;
}

static void publish(struct dt_pairs *pairs, const struct dt_comm *comm,
                    const struct dt_segment *segments, struct dt_pair_entry *entry)
{
    struct dt_message *m = entry->message;
    struct dt_pair_peer *peer = &pairs->peers[m->peer];
    struct board *mine = board_of(pairs, segments, comm->rank, m->peer);
    struct board *theirs = board_of(pairs, segments, m->peer, comm->rank);
    while (entry->number == peer->published) {
        uint64_t sent = look(&mine->sent);
        struct parcel *parcel = &mine->parcels[sent % PARCELS];
        if (sent - look(&theirs->read) >= PARCELS)
            return;
        if (entry->segment > 0)
            *parcel = (struct parcel){
                entry->segment, (size_t)(m->data - segments[entry->segment].bases[comm->rank]),
                m->bytes};
        else if (!fill_slot(pairs, comm, segments, entry, sent + 1, parcel))
            return;
        m->moved += parcel->bytes;
        entry->last_parcel = sent + 1;
        peer->published += m->moved == m->bytes;
        advance(&mine->sent);
    }
}

static void send_on(struct dt_pairs *pairs, const struct dt_comm *comm,
                    const struct dt_segment *segments, struct dt_pair_entry *entry)
{
    struct dt_message *m = entry->message;
    publish(pairs, comm, segments, entry);
    m->done = entry->number < pairs->peers[m->peer].published &&
              look(&board_of(pairs, segments, m->peer, comm->rank)->read) >= entry->last_parcel;
}

static int receive_on(struct dt_pairs *pairs, struct dt_comm *comm,
                      const struct dt_segment *segments, const struct dt_pair_entry *entry,
                      struct dt_error *err)
{
    struct dt_message *m = entry->message;
    struct dt_pair_peer *peer = &pairs->peers[m->peer];
    struct board *mine = board_of(pairs, segments, comm->rank, m->peer);
    struct board *theirs = board_of(pairs, segments, m->peer, comm->rank);
    for (uint64_t read;
         entry->number == peer->arrived && (read = look(&mine->read)) < look(&theirs->sent);) {
        const struct parcel *parcel = &theirs->parcels[read % PARCELS];
        if (parcel->bytes > m->bytes - m->moved)
            return dt_comm_break(comm, err,
                                 "a message of rank %d is longer than the %zu bytes that rank %d "
                                 "wants",
                                 m->peer, m->bytes, comm->rank);
        memcpy(m->data + m->moved, segments[parcel->segment].bases[m->peer] + parcel->offset,
               parcel->bytes);
        m->moved += parcel->bytes;
        m->done = m->moved == m->bytes;
        peer->arrived += m->done;
        advance(&mine->read);
    }
    return 0;
}

int dt_pairs_poll(struct dt_pairs *pairs, struct dt_comm *comm, const struct dt_segment *segments,
                  struct dt_error *err)
{
    size_t kept = 0;
    for (size_t i = 0; i < pairs->count; i++) {
        struct dt_pair_entry *entry = &pairs->entries[i];
        if (entry->message->sent)
            send_on(pairs, comm, segments, entry);
        else if (receive_on(pairs, comm, segments, entry, err) < 0)
            return -1;
        if (entry->message->done)
            comm->under_way--;
        else
            pairs->entries[kept++] = *entry;
    }
    pairs->count = kept;
    return 0;
}

static int make_room(struct dt_pairs *pairs, struct dt_comm *comm, struct dt_error *err)
{
    if (pairs->count < pairs->capacity)
        return 0;
    size_t capacity = pairs->capacity ? 2 * pairs->capacity : 16;
    struct dt_pair_entry *grown = realloc(pairs->entries, capacity * sizeof *grown);
    if (!grown)
        return dt_comm_break(comm, err, "no memory for %zu messages", capacity);
    pairs->entries = grown;
    pairs->capacity = capacity;
    return 0;
}

int dt_pairs_start(struct dt_pairs *pairs, struct dt_comm *comm, struct dt_message *m,
                   const struct dt_segment *segments, size_t segment_count, struct dt_error *err)
{
    struct dt_pair_peer *peer = &pairs->peers[m->peer];
    if (make_room(pairs, comm, err) < 0)
        return -1;
    struct dt_pair_entry *entry = &pairs->entries[pairs->count++];
    *entry =
        (struct dt_pair_entry){.message = m, .number = m->sent ? peer->sends++ : peer->receives++};
    comm->under_way++;
    if (!m->sent)
        advance(&board_of(pairs, segments, comm->rank, m->peer)->wanted);
    for (size_t s = 1; s < segment_count && m->sent; s++) {
        char *own = segments[s].bases[comm->rank];
        if (m->data >= own && m->data < own + segments[s].bytes)
            entry->segment = s;
    }
    return dt_pairs_poll(pairs, comm, segments, err);
}
