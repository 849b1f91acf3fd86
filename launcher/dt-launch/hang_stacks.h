/* SPDX-License-Identifier: Apache-2.0 */
/* Asking Python where it is (--python-stacks): a sitecustomize module that the ranks' interpreters find
 * through PYTHONPATH registers Python's own faulthandler for a signal. It then imports the sitecustomize
 * that it hides, if there is one. */
#ifndef DT_LAUNCH_HANG_STACKS_H
#define DT_LAUNCH_HANG_STACKS_H

#include <stdbool.h>

#include "base/buf.h"
#include "environ.h"
#include "worker.h"

struct dt_stacks {
    char *directory; /* NULL: it can not be done here */
};

void dt_stacks_create(struct dt_stacks *stacks);
void dt_stacks_remove(struct dt_stacks *stacks);
/* In the environment of a rank. */
void dt_stacks_apply(struct dt_environ *env, const struct dt_stacks *stacks, int local_rank);

/* Ask the process that does the rank's work, if it listens; the answer takes some milliseconds. Older
 * answers are forgotten. */
bool dt_stacks_ask(const struct dt_stacks *stacks, const struct dt_worker *worker);
/* What it has written since; empty: nothing. */
void dt_stacks_read(const struct dt_stacks *stacks, const struct dt_worker *worker,
                    struct dt_buf *text);

#endif
