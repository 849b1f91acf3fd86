/* SPDX-License-Identifier: Apache-2.0 */
/* What a run says: lines for people (rank 0), a JSON log (rank 0), a progress line a step on
 * DT_PROGRESS_FD (every rank that has it, for whoever supervises that rank). */
#ifndef DT_TRAIN_REPORT_H
#define DT_TRAIN_REPORT_H

#include <stdio.h>

#include "model.h"
#include "options.h"

struct dt_step_numbers {
    long step; /* that is done, from 1 */
    double loss, rate;
    double balance; /* what uneven use of the experts adds to the loss; 0: there are none */
    /* Of the step, and of these: waiting for other ranks, reading data, waiting for a checkpoint
     * (which was begun after the step before). The rest is computing. */
    double seconds, exposed_s, data_s, checkpoint_s;
    double length; /* of the gradient before it is clipped; 0: not measured */
};

struct dt_report {
    FILE *out; /* NULL: this rank prints nothing */
    FILE *log;
    int progress_fd; /* -1: none */
    long print_every, steps;
    double tokens_per_step, flops_per_step; /* all ranks; this rank */
    double blas_rate;                       /* GFLOP/s measured, 0: not */
    struct dt_step_numbers first, last;
    struct dt_step_numbers since, run; /* sums: of what was not printed yet, and of all */
    long unprinted, done;
};

struct dt_report_setup {
    const struct dt_options *options;
    int ranks, threads;
    size_t params;
    const char *blas_name;
    double blas_rate;
    const struct dt_mesh_sizes *mesh;
    int zero;            /* 0: the model is not sharded */
    const char *manner;  /* in which the ranks talk */
    const char *why_cpu; /* and not a GPU; "": there is nothing to say */
    size_t bytes;        /* of a rank: parameters, gradients, moments */
    int micros;          /* micro-batches of a step */
    size_t kept_bytes;   /* of a rank: activations that forward keeps for backward */
    long first_step;     /* steps that are done already */
};

int dt_report_open(struct dt_report *report, const struct dt_options *options, int rank, int ranks,
                   struct dt_error *err);
void dt_report_header(struct dt_report *report, const struct dt_report_setup *setup);
void dt_report_step(struct dt_report *report, const struct dt_step_numbers *numbers);
/* A checkpoint is whole, `seconds` after it was begun. */
void dt_report_saved(struct dt_report *report, long step, const char *directory, double seconds);
void dt_report_eval(struct dt_report *report, long step, double loss);
void dt_report_say(struct dt_report *report, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void dt_report_summary(struct dt_report *report);
void dt_report_close(struct dt_report *report);

#endif
