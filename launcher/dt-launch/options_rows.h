/* SPDX-License-Identifier: Apache-2.0 */
/* Private to options*.c: one row an option, one file a subject. options.c lists the groups, in the order
 * in which --help shows them, and does with every row what all options have in common: the line of
 * --help, "did you mean", the PET_ variable, the completion. */
#ifndef DT_LAUNCH_OPTIONS_ROWS_H
#define DT_LAUNCH_OPTIONS_ROWS_H

#include <stddef.h>

#include "options.h"

struct dt_option_row {
    const char *name;    /* "nproc-per-node"; NULL ends the rows */
    char letter;         /* 'l' for -l; 0: none */
    bool may_lack_value; /* "--name" alone will do */
    bool pet;          /* torchrun's own: PET_NPROC_PER_NODE stands for it where it is not given */
    const char *value; /* "N|auto"; NULL: takes none */
    const char *doc;   /* NULL: understood, not shown */
    /* name: "--nproc-per-node" or "PET_NPROC_PER_NODE", for the sentence; value: NULL when it has none.
     */
    int (*take)(struct dt_options *options, const char *name, const char *value,
                struct dt_error *err);
};

struct dt_option_group {
    const char *title;
    const struct dt_option_row *rows;
};

extern const struct dt_option_row dt_options_of_shape[];    /* options_shape.c */
extern const struct dt_option_row dt_options_of_torchrun[]; /* options_torchrun.c */
extern const struct dt_option_row dt_options_of_running[];  /* options_running.c */
extern const struct dt_option_row dt_options_of_output[];   /* options_output.c */
extern const struct dt_option_row dt_options_of_restarts[]; /* options_restarts.c */
extern const struct dt_option_row dt_options_of_watch[];    /* options_watch.c */
extern const struct dt_option_row dt_options_of_driver[];   /* options_driver.c */
extern const struct dt_option_row dt_options_of_extras[];   /* options_extras.c */

int dt_options_take_env(struct dt_options *options, const char *name, const char *value,
                        struct dt_error *err); /* --env, and DT_ENV */

/* Values (options_values.c). */
int dt_option_int(const char *name, const char *text, long low, long high, int *value,
                  struct dt_error *err);
#define DT_NODES_MAX (1 << 20)
/* "N", which leaves *least 0, or "MIN:MAX": numbers of nodes. */
int dt_option_range(const char *name, const char *text, int *least, int *most,
                    struct dt_error *err);
int dt_option_seconds(const char *name, const char *text, double *seconds, struct dt_error *err);
/* One of `count` words: *choice is its number. */
int dt_option_word(const char *name, const char *text, const char *const *words, size_t count,
                   int *choice, struct dt_error *err);
/* "true", "yes", "1" or nothing; "false", "no", "0": as PET_ variables give what takes no value. */
int dt_option_switch(const char *name, const char *text, bool *on, struct dt_error *err);

#endif
