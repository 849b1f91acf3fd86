/* SPDX-License-Identifier: Apache-2.0 */
/* Command line of dt-node. */
#ifndef DT_NODE_OPTIONS_H
#define DT_NODE_OPTIONS_H

#include <stdbool.h>

#include "check/check.h"

enum mode { MODE_SESSION, MODE_PRINT, MODE_PLAN, MODE_STEP_END };

struct options {
    enum mode mode;
    const char *root;    /* NULL: this machine */
    const char *config;  /* NULL: the installed one, if it is there */
    const char *allowed; /* CPU list; NULL: all that this process may use */
    const char *env;     /* mode of a dry run */
    char bind[96];       /* the words of --dt-bind for it: "auto,interleave,reserve=2" */
    const char *memory, *gpus, *nic;
    int reserve, loaders;
    int ranks;
    bool json;
    bool binding; /* of a plan: what concerns CPUs, memory and devices only, whoever bound before */
    enum dt_level level;
    long long job, step; /* that has ended */
    bool failed;         /* one of its tasks did */
};

/* Exits on --help and on a usage error (64). Strings point into argv. */
void options_parse(struct options *options, int argc, char **argv);

#endif
