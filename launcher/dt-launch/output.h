/* SPDX-License-Identifier: Apache-2.0 */
/* Prefixing ranks' output. A thread reads the pipes of all ranks and writes whole lines, so that a
 * reader of ours who has stopped reading never stops us from seeing a rank die. */
#ifndef DT_LAUNCH_OUTPUT_H
#define DT_LAUNCH_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct dt_output;

struct dt_output *dt_output_create(struct dt_error *err);

/* A pipe for one stream of one rank: returns the end that the rank writes to (close-on-exec), or
 * -1. `out` is our own descriptor 1 or 2. Only before dt_output_start. */
int dt_output_add(struct dt_output *output, const char *prefix, int out, struct dt_error *err);

int dt_output_start(struct dt_output *output, struct dt_error *err);

/* Wait until every rank's end is closed and all is written, and free. Gives up when nothing moves
 * for 2 s: then returns false, and the process must end, since the thread still runs. */
bool dt_output_finish(struct dt_output *output);

#endif
