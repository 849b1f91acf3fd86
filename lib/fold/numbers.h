/* SPDX-License-Identifier: Apache-2.0 */
/* A line of text with its numbers apart, so that lines that differ in these only can be told as one: "loss 7.2",
 * "loss 7.2" and "loss 7.5" are "loss 7.2..7.3..7.5" (least, mean, greatest), which is read as that again. */
#ifndef DT_FOLD_NUMBERS_H
#define DT_FOLD_NUMBERS_H

#include <stdbool.h>
#include <stddef.h>

#define DT_NUMBER_TEXT 24 /* bytes of the longest number that is kept apart, with its end */

struct dt_number {
    size_t at; /* where in the text it stands */
    int parts; /* 1: one number, 2: least..greatest, as a program may write, 3: least..mean..greatest */
    double least, mean, greatest;
    char least_text[DT_NUMBER_TEXT], mean_text[DT_NUMBER_TEXT], greatest_text[DT_NUMBER_TEXT];
};

struct dt_numbers {
    char *text; /* without the numbers */
    size_t length;
    struct dt_number *numbers;
    size_t count;
    int weight; /* ranks that have written it */
};

/* weight: how many ranks have written it. apart: false leaves the numbers in the text. -1: no memory. */
int dt_numbers_init(struct dt_numbers *numbers, const char *text, size_t length, int weight,
                    bool apart);
void dt_numbers_fini(struct dt_numbers *numbers);

unsigned long long dt_numbers_hash(const struct dt_numbers *numbers); /* of what is not numbers */
/* Do they differ in numbers only? */
bool dt_numbers_alike(const struct dt_numbers *a, const struct dt_numbers *b);
/* Take the numbers of the like of it into the ranges. */
void dt_numbers_widen(struct dt_numbers *numbers, const struct dt_numbers *like);
/* The line for people, once: the text leaves the numbers. Caller frees; NULL: no memory. */
char *dt_numbers_take(struct dt_numbers *numbers);

#endif
