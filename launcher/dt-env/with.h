/* SPDX-License-Identifier: Apache-2.0 */
/* --with COMPONENT=VERSION,...: versions that are stated, as facts. */
#ifndef DT_ENV_WITH_H
#define DT_ENV_WITH_H

#include "facts/facts.h"

struct component {
    const char *name;  /* on the command line */
    const char *fact;  /* "lib.libfabric" */
    const char *label; /* "libfabric" */
};
/* Ends in a NULL name. A fact may have several names; the first one's label is shown. */
extern const struct component components[];

/* err: which word is wrong, and what was expected. */
int with_apply(struct dt_facts *facts, const char *with, struct dt_error *err);

/* The nearest of the words to a misspelt one; NULL: none is near. */
const char *nearest_word(const char *word, const char *const *words);

#endif
