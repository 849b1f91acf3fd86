/* SPDX-License-Identifier: Apache-2.0 */
/* The names of checkpoints, and which are there. */
#ifndef DT_TRAIN_CHECKPOINT_LIST_H
#define DT_TRAIN_CHECKPOINT_LIST_H

#include <stddef.h>

#include "base/error.h"

/* "DIR/step-00000040ENDING"; caller frees; NULL: no memory. */
char *dt_checkpoint_name(const char *directory, long long step, const char *ending);

/* Steps of what is in the directory under a checkpoint's name and then `ending`, newest first.
 * Caller frees *steps. */
int dt_checkpoint_list(const char *directory, const char *ending, long long **steps, size_t *count,
                       struct dt_error *err);

/* Ending of the single files that dt-train wrote up to format 2. */
#define DT_CHECKPOINT_FORMER ".dtc"

#endif
