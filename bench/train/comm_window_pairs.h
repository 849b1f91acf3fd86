/* SPDX-License-Identifier: Apache-2.0 */
/* Messages between two ranks through memory that both see: the part of the shared window
 * (comm_window.c) that is not collective. Data that lie in the window are read where they are; others
 * go through slots of the sender, which are filled only for a receiver that waits for them, so that no
 * pair holds up another. */
#ifndef DT_TRAIN_COMM_WINDOW_PAIRS_H
#define DT_TRAIN_COMM_WINDOW_PAIRS_H

#include "comm.h"

/* One allocation of the window: bases[r] is where this process sees that of rank r. */
struct dt_segment {
    char **bases;
    size_t bytes;
};

struct dt_pair_peer;
struct dt_pair_entry;

struct dt_pairs {
    size_t offset; /* in segment 0 of each rank: what the others see of its messages */
    struct dt_pair_peer *peers;
    struct dt_pair_entry *entries; /* messages under way, in the order in which they were started */
    size_t count, capacity;
    struct {
        int to;
        uint64_t parcel;
    } * slots; /* who was to read what is in them */
};

/* Bytes, at `offset` in each rank's segment 0, for a group of so many ranks. */
size_t dt_pairs_bytes(int size);
int dt_pairs_open(struct dt_pairs *pairs, int size, size_t offset); /* -1: no memory */
void dt_pairs_close(struct dt_pairs *pairs);

int dt_pairs_start(struct dt_pairs *pairs, struct dt_comm *comm, struct dt_message *message,
                   const struct dt_segment *segments, size_t segment_count, struct dt_error *err);
int dt_pairs_poll(struct dt_pairs *pairs, struct dt_comm *comm, const struct dt_segment *segments,
                  struct dt_error *err);

#endif
