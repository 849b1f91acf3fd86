/* SPDX-License-Identifier: Apache-2.0 */
/* One training run: everything that lives from start to end, and the loop over steps. */
#ifndef DT_TRAIN_TRAIN_H
#define DT_TRAIN_TRAIN_H

#include "checkpoint.h"
#include "comm.h"
#include "data.h"
#include "options.h"
#include "parallel.h"
#include "report.h"
#include "spike.h"

struct dt_train {
    const struct dt_options *options;
    struct dt_comm *comm;
    struct dt_mesh mesh;
    struct dt_blas blas;
    struct dt_model model;
    struct dt_parallel parallel;
    struct dt_data data;
    struct dt_report report;
    struct dt_spike spike;
    int *sample;           /* tokens and targets of one, whole */
    int *tokens, *targets; /* of each sample the positions that are this rank's */
    int shares, share;     /* samples are dealt out in so many; this rank's own */
    size_t batch;          /* samples of a share in a step */
    size_t micro;          /* of these, how many go through the model at a time */
    long step;             /* steps done */
    long saved_at;         /* step of the last checkpoint, -1: none */
    double asked_at;       /* when a signal last asked for one, by dt_seconds */
    int threads;
};

/* Both return 0 or an exit code, the same on every rank, with the sentence in err. */
int dt_train_open(struct dt_train *train, const struct dt_options *options, struct dt_comm *comm,
                  int threads, struct dt_error *err);
int dt_train_run(struct dt_train *train, struct dt_error *err);
void dt_train_close(struct dt_train *train);

/* Learning rate of step `step` (from 0): up over the warm-up, then down a cosine to a tenth. */
double dt_train_rate(const struct dt_options *options, long step);

#endif
