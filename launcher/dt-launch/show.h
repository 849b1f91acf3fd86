/* SPDX-License-Identifier: Apache-2.0 */
/* What would be started, for people: --dry-run shows every rank of this node, --doctor one rank with where
 * each of its settings comes from. Nothing is started. */
#ifndef DT_LAUNCH_SHOW_H
#define DT_LAUNCH_SHOW_H

#include "supervise.h"

/* Exit codes. */
int dt_show_ranks(const struct dt_job *job);
int dt_show_doctor(const struct dt_job *job);

#endif
