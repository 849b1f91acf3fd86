/* SPDX-License-Identifier: Apache-2.0 */
/* Large arrays, and how much of them this rank has taken. What a device works on is its memory, which
 * the host reads and writes, too (device.h); what only the host touches is plain. */
#ifndef DT_TRAIN_REALS_H
#define DT_TRAIN_REALS_H

#include <stddef.h>

#include "real.h"

/* Zeroed and aligned, so that padding is the same on every rank: it is hashed and reduced, too.
 * NULL: no memory. */
real *dt_reals(size_t count);
void *dt_memory(size_t bytes);
void dt_memory_free(void *memory); /* of both; may be NULL */

/* The host's alone, as of a copy that is going to be written to a file; caller frees. */
real *dt_host_reals(size_t count);

/* From now on memory is another's: of the device that the process works on. take: zeroed. Before the
 * first array is taken. NULL: the host's, as at the start. */
struct dt_memory_source {
    void *(*take)(size_t bytes);
    void (*give)(void *memory);
};
void dt_memory_use(const struct dt_memory_source *source);

/* Reals taken by this thread so far; what is freed stays counted. */
size_t dt_reals_taken(void);
void dt_reals_note(size_t count); /* that were taken elsewhere: shared windows */

#endif
