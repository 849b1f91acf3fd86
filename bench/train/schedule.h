/* SPDX-License-Identifier: Apache-2.0 */
/* The order in which a stage of the pipeline works: a list of actions, made from sizes alone. Nothing
 * is computed or sent here.
 *
 * One chunk a stage is 1F1B: a stage runs forward as many micro-batches as there are stages after it,
 * then backward and forward in turn. More chunks are the interleaved schedule: stage s has chunks s,
 * s + stages, s + 2 stages ... of the layers, and micro-batches go through the ring of stages once a
 * chunk. With times f and b of a stage's forward and backward a step of m micro-batches takes
 * (m + (stages - 1) / chunks) (f + b); the part that is not m is the bubble. */
#ifndef DT_TRAIN_SCHEDULE_H
#define DT_TRAIN_SCHEDULE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct dt_schedule_sizes {
    int stage, stages, chunks, micros; /* micros: micro-batches of a step */
};

struct dt_action {
    bool backward;
    int micro, chunk;
};

struct dt_schedule {
    struct dt_action *actions; /* each micro-batch, forward and backward, of each chunk */
    size_t count;
};

/* Interleaved: the stages must divide the micro-batches. */
bool dt_schedule_fits(const struct dt_schedule_sizes *sizes);

/* Micro-batches and chunks that have run forward and wait for backward: at most so many at a time. */
int dt_schedule_slots(const struct dt_schedule_sizes *sizes);

/* Of sizes that fit. */
int dt_schedule_make(struct dt_schedule *schedule, const struct dt_schedule_sizes *sizes,
                     struct dt_error *err);
void dt_schedule_fini(struct dt_schedule *schedule);

#endif
