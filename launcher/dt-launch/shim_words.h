/* SPDX-License-Identifier: Apache-2.0 */
/* Private to shim*.c: a tool's own options, one row each, and a command line that was read by them. */
#ifndef DT_LAUNCH_SHIM_WORDS_H
#define DT_LAUNCH_SHIM_WORDS_H

#include <stdbool.h>
#include <stddef.h>

#include "shim.h"

#define DT_SHIM_ROWS 32

struct dt_shim_row {
    const char *name; /* "nproc-per-node": "_" is as good as "-"; NULL ends the rows */
    char letter;      /* 'm' for -m; 0: none */
    bool takes;       /* has a value */
    bool pet;         /* torchrun's PET_ variable stands for it */
    const char
        *ours; /* dt-launch's option for it; NULL: see the tool's `finish`, or no meaning here */
    const char *words; /* values that are understood, "a b c"; NULL: all */
    const char *doc;   /* for --help */
};

struct dt_shim_line {
    const struct dt_shim_tool *tool;
    const char *values[DT_SHIM_ROWS]; /* by row; NULL: not given; "" of one that takes none */
    char **program;                   /* the script and its words; borrowed */
    struct dt_shim *shim;
};

struct dt_shim_tool {
    const char *name;
    const char *command; /* its first word, "launch"; NULL: none */
    const struct dt_shim_row *rows;
    bool own_master; /* MASTER_ADDR and MASTER_PORT of the environment are not its inputs */
    /* What options say together; dt_shim_add() for what follows of it. -1: not understood. */
    int (*finish)(struct dt_shim_line *line, struct dt_error *why);
};

extern const struct dt_shim_tool dt_shim_tools[]; /* shim_tools.c; ends with a NULL name */

/* Reads `words`, prints and exits for --help. -1: not understood. */
int dt_shim_read(struct dt_shim_line *line, char **words, struct dt_error *why);

/* The value of a row, or of its PET_ variable; NULL: not given. */
const char *dt_shim_value(const struct dt_shim_line *line, const char *name);

/* One more word for dt-launch. */
void dt_shim_add(struct dt_shim *shim, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
