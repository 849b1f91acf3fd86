/* SPDX-License-Identifier: Apache-2.0 */
/* Putting a profiler in front of some ranks' command. */
#ifndef DT_LAUNCH_PROFILE_H
#define DT_LAUNCH_PROFILE_H

#include <stdbool.h>

#include "base/error.h"
#include "options.h"
#include "place.h"

/* A list of ranks: "0,8-15" or "all". */
bool dt_profile_ranks_good(const char *list);
bool dt_profile_has_rank(const char *list, int rank);

/* Its own command for a rank that is profiled; *argv stays NULL for others. Both are the caller's to give
 * to dt_profile_free. On failure *code is 67, 126 or 127. */
int dt_profile_command(char ***argv, char **path, const struct dt_options *options,
                       const struct dt_place *place, int rank, int *code, struct dt_error *err);
void dt_profile_free(char **argv, char *path);

#endif
