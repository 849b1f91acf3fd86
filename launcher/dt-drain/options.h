/* SPDX-License-Identifier: Apache-2.0 */
/* Command line of dt-drain. */
#ifndef DT_DRAIN_OPTIONS_H
#define DT_DRAIN_OPTIONS_H

#include <stdbool.h>

struct options {
    const char *reason, *prefix;
    bool fail;     /* state FAIL, not DRAIN */
    bool hyperpod; /* reasons "Action:..." count as dt's own */
    bool try_only; /* change nothing */
    long max, minutes;
};

/* Exits on --help and on a usage error (64). Strings point into argv. */
void options_parse(struct options *options, int argc, char **argv);

#endif
