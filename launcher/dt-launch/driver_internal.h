/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the driver share: its state, and how a node is found to be bad. */
#ifndef DT_LAUNCH_DRIVER_INTERNAL_H
#define DT_LAUNCH_DRIVER_INTERNAL_H

#include <sys/types.h>

#include "driver.h"
#include "driver_again.h"

struct driver {
    const struct dt_options *options;
    char **argv;
    long long job;
    struct dt_spares spares;
    struct dt_listener *listener;
    struct dt_told told;
    bool hyperpod, validates;
    char report[64]; /* path of a file of ours; "": none */
    pid_t starter;
    bool slurm_signals_all;
    int signals; /* signalfd */
    int stopped; /* signal that has asked us to end; 0: none */
    int restarts;
    struct dt_again again; /* of --per-task */
};

/* "dt-launch: WHAT: the sentence" on standard error. */
void dt_driver_warn(const char *what, const struct dt_error *err);

/* Those that the report of the validation names. Returns how many were good until then. */
int dt_driver_reject_unfit(struct driver *driver);

/* A step on `count` nodes has ended with `code`: whose fault was it, by what agents told, by the report, or by Slurm? Drains them
 * where that was asked for. Returns how many nodes are bad now that were not. */
int dt_driver_reject(struct driver *driver, int code, int count);

#endif
