/* SPDX-License-Identifier: Apache-2.0 */
/* The limits that the ranks get (--ulimit). */
#ifndef DT_LAUNCH_ULIMITS_H
#define DT_LAUNCH_ULIMITS_H

#include "base/error.h"
#include "options_extras.h"

/* In the process that is to have them. 0; or -1 with errno, *index then says which. */
int dt_ulimits_apply(const struct dt_ulimit *limits, int count, int *index);

/* Can these be had here? Tried in a child. */
int dt_ulimits_check(const struct dt_ulimit *limits, int count, struct dt_error *err);

#endif
