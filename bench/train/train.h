/* SPDX-License-Identifier: Apache-2.0 */
/* One training run: everything that lives from start to end, and the loop over steps. */
#ifndef DT_TRAIN_TRAIN_H
#define DT_TRAIN_TRAIN_H

#include "comm.h"
#include "data.h"
#include "holders.h"
#include "options.h"
#include "parallel.h"
#include "report.h"
#include "saver.h"
#include "spike.h"

struct dt_train {
    const struct dt_options *options;
    struct dt_comm *comm;
    const struct dt_device *device;
    struct dt_mesh mesh;
    struct dt_blas blas;
    struct dt_model model;
    struct dt_parallel parallel;
    struct dt_holders holders;
    struct dt_saver saver; /* open where there is --checkpoint */
    struct dt_data data;
    struct dt_report report;
    struct dt_spike spike;
    int *sample;           /* tokens and targets of one, whole */
    int *tokens, *targets; /* of each sample the positions that are this rank's */
    int shares, share;     /* samples are dealt out in so many; this rank's own */
    size_t batch;          /* samples of a share in a step */
    size_t micro;          /* of these, how many go through the model at a time */
    long step;             /* steps done */
    long saved_at;         /* step of the last checkpoint that was begun, -1: none */
    long checked_at;       /* after which copies were compared last, -1: never */
    double asked_at;       /* when a signal last asked for one, by dt_seconds */
    double stall_s;        /* that training has waited for a checkpoint since the last step */
    int threads;
};

/* Both return 0 or an exit code, the same on every rank, with the sentence in err. */
int dt_train_open(struct dt_train *train, const struct dt_options *options,
                  const struct dt_device *device, int threads, struct dt_error *err);
int dt_train_run(struct dt_train *train, struct dt_error *err);
void dt_train_close(struct dt_train *train);

/* Compare what several ranks hold of the parameters, unless that was done after this step. */
int dt_train_check(struct dt_train *train, struct dt_error *err);

/* Load the newest checkpoint, if there is one. Every rank calls it. */
int dt_train_load(struct dt_train *train, int *code, struct dt_error *err);

/* Begin a checkpoint of this step, if there is none of it; one that is under way is waited for, and
 * with `wait` this one, too. Nothing is done without --checkpoint. */
int dt_train_save(struct dt_train *train, bool wait, int *code, struct dt_error *err);

/* No rank's writer is at work any more: the checkpoint that is under way goes on, or is whole. */
int dt_train_saved(struct dt_train *train, int *code, struct dt_error *err);

/* Wait until the checkpoint that is under way is whole. */
int dt_train_settle(struct dt_train *train, int *code, struct dt_error *err);

/* Learning rate of step `step` (from 0): up over the warm-up, then down a cosine to a tenth. */
double dt_train_rate(const struct dt_options *options, long step);

#endif
