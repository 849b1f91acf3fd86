/* SPDX-License-Identifier: Apache-2.0 */
/* What the node keeps of a step (lib/history), when the step begins and when it ends. */
#ifndef DT_NODE_REMEMBER_H
#define DT_NODE_REMEMBER_H

#include "engine.h"
#include "options.h"
#include "plan/plan.h"

/* Leaves a process behind that notes the step and the counters as they stand, so that the step waits
 * for nothing. Best effort. */
void remember_begin(const struct engine *engine, const struct dt_request *request);

/* dt-node --step-end: one line on standard output, "saved" or what went wrong. Returns the exit
 * status. */
int remember_end(const struct options *options);

#endif
