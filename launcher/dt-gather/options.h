/* SPDX-License-Identifier: Apache-2.0 */
/* Command line of dt-gather. */
#ifndef DT_GATHER_OPTIONS_H
#define DT_GATHER_OPTIONS_H

#include <stdbool.h>

#include "base/error.h"
#include "check/check.h"

struct options {
    int nodes;               /* 0: each component says it on fd 0 */
    int components;          /* het components; 1: no het job */
    char *nodelist;          /* NULL: not known */
    int port_low, port_high; /* 0, 0: any */
    char *report;            /* NULL: none */
    char *config;            /* NULL: the installed one, if it is there */
    char *job;               /* "JOB.STEP" or NULL */
    double timeout_s;        /* from the start */
    double settle_s;         /* from the first hello: the shorter of the two counts */
    bool warn_only;
    enum dt_level level;
};

/* Exits on --help and on a usage error (64), as argp does. */
void options_parse(struct options *options, int argc, char **argv);
void options_fini(struct options *options);

#endif
