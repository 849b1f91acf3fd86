/* SPDX-License-Identifier: Apache-2.0 */
/* What is done on a node before its ranks: --pre-once, --pre, --prewarm. */
#ifndef DT_LAUNCH_PRE_H
#define DT_LAUNCH_PRE_H

#include "base/error.h"
#include "options.h"
#include "place.h"

/* Refuse what can not work here. */
int dt_pre_check(const struct dt_options *options, const struct dt_place *place,
                 struct dt_error *err);

/* Run the commands, in order. On failure *code is the command's, or 67. */
int dt_pre_run(const struct dt_options *options, const struct dt_place *place, int *code,
               struct dt_error *err);

/* Read ahead; what can not be read is a warning. Says how much that was, on node 0. */
void dt_prewarm(const struct dt_options *options, const struct dt_place *place);

#endif
