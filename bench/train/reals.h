/* SPDX-License-Identifier: Apache-2.0 */
/* Large arrays, and how much of them this rank has taken. */
#ifndef DT_TRAIN_REALS_H
#define DT_TRAIN_REALS_H

#include <stddef.h>

#include "real.h"

/* Zeroed and aligned, so that padding is the same on every rank: it is hashed and reduced, too.
 * Caller frees; NULL: no memory. */
real *dt_reals(size_t count);

/* Reals taken by this thread so far; what is freed stays counted. */
size_t dt_reals_taken(void);
void dt_reals_note(size_t count); /* that were taken elsewhere: shared windows */

#endif
