/* SPDX-License-Identifier: Apache-2.0 */
/* Private to options*.c: one row an option, one file a subject; options.c lists the groups in the
 * order in which --help shows them. A new option is a field of struct dt_options, a row here or
 * there, and its lines in dt-train(1): reading, limits and the comparison between ranks follow from
 * the row. What must fit other options is judged in options.c (dt_options_check). */
#ifndef DT_TRAIN_OPTIONS_ROWS_H
#define DT_TRAIN_OPTIONS_ROWS_H

#include "options.h"

/* What is compared between ranks before anything starts. */
enum dt_compared {
    DT_EQUAL,       /* the values are the same on every rank */
    DT_GIVEN_EQUAL, /* given on every rank or on none: paths may differ */
    DT_MAY_DIFFER
};

struct dt_option_row {
    const char *name;  /* "micro-batch"; NULL ends the rows */
    const char *value; /* "N"; NULL: takes none */
    const char *doc;
    int (*take)(struct dt_options *options, const struct dt_option_row *row, char *text,
                struct dt_error *err);
    size_t place;             /* of the field: DT_AT(micro_batch) */
    double least, most;       /* DT_FROM(1, 1000) */
    const char *const *words; /* NULL ends them */
    enum dt_compared compared;
};

#define DT_AT(field)         .place = offsetof(struct dt_options, field)
#define DT_FROM(first, last) .least = (first), .most = (last)

struct dt_option_group {
    const char *title;
    const struct dt_option_row *rows;
};

extern const struct dt_option_row dt_options_of_model[];    /* options_model.c */
extern const struct dt_option_row dt_options_of_training[]; /* options_training.c */
extern const struct dt_option_row dt_options_of_ranks[];    /* options_ranks.c */
extern const struct dt_option_row dt_options_of_output[];   /* options_output.c */
extern const struct dt_option_row dt_options_of_text[];     /* options_text.c */

/* The takers, by the type of the field (options_values.c). Those of numbers refuse what is not from
 * `least` to `most`. */
#define DT_TAKER(name)                                                                             \
    int name(struct dt_options *options, const struct dt_option_row *row, char *text,              \
             struct dt_error *err)
DT_TAKER(dt_take_int);    /* int */
DT_TAKER(dt_take_long);   /* long */
DT_TAKER(dt_take_seed);   /* unsigned long long, up to the largest of long long */
DT_TAKER(dt_take_number); /* double */
DT_TAKER(dt_take_text);   /* const char * */
DT_TAKER(dt_take_on);     /* bool: true */
DT_TAKER(dt_take_set);    /* int: `least` */
DT_TAKER(dt_take_word);   /* an enum or int: the word's place among `words` */

struct dt_buf;
/* "--name value\n" of a row whose taker is one of the above. */
void dt_option_print(struct dt_buf *text, const struct dt_options *options,
                     const struct dt_option_row *row);

#endif
