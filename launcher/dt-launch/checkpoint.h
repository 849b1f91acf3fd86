/* SPDX-License-Identifier: Apache-2.0 */
/* Having the job saved before it ends: before its time limit, by our own clock, and when Slurm warns of
 * preemption. All ranks of all nodes get --checkpoint-signal at one moment; when the save is acknowledged
 * the job ends with code 75, and is put back into the queue if it was for the time limit. */
#ifndef DT_LAUNCH_CHECKPOINT_H
#define DT_LAUNCH_CHECKPOINT_H

#include <stdbool.h>

#include "base/error.h"
#include "link/link.h"
#include "options.h"
#include "place.h"
#include "restart.h"

struct loop;

enum dt_checkpoint_why {
    DT_CHECKPOINT_LIMIT,  /* the time is nearly over */
    DT_CHECKPOINT_WARNED, /* SIGTERM from outside */
};

struct dt_checkpoint {
    double fire_at; /* CLOCK_MONOTONIC, seconds: window before the time limit; 0: not known */
    double window;  /* seconds, never more than half of the time that was left */
    enum dt_checkpoint_why why;
    double signal_at;    /* agreed moment; 0: none */
    bool signalled;      /* the ranks have it */
    bool over;           /* acknowledged, or given up */
    long long signal_ns; /* when they got it */
    double give_up_at;
    struct dt_newest before; /* of the files that acknowledge */
};

/* Refuse what can not work here. */
int dt_checkpoint_check(const struct dt_options *options, const struct dt_place *place,
                        struct dt_error *err);

void dt_checkpoint_begin(struct loop *loop);         /* of the job: finds the time limit */
void dt_checkpoint_begin_attempt(struct loop *loop); /* other ranks, which know of no signal */
void dt_checkpoint_work(struct loop *loop);          /* whenever there is time */
double dt_checkpoint_next(const struct loop *loop);  /* and when next; 0: never */

/* A stop signal from outside; true: it was taken as a warning, and is not to end the job now. */
bool dt_checkpoint_warned(struct loop *loop, int number, bool ranks_have_it);
/* The session: save (a member), warned and saved (the lead). */
void dt_checkpoint_hear(struct loop *loop, const struct dt_link_message *message);

/* The code that the job ends with when all its ranks have ended well. */
int dt_checkpoint_code(const struct loop *loop);
/* At the very end: put the job back into the queue where that is due. */
void dt_checkpoint_finish(struct loop *loop, int code);

#endif
