/* SPDX-License-Identifier: Apache-2.0 */
/* Asking Python where it is (--python-stacks): by a signal for which python_hook.h has registered
 * Python's own faulthandler, which writes to a file for each rank. */
#ifndef DT_LAUNCH_HANG_STACKS_H
#define DT_LAUNCH_HANG_STACKS_H

#include <stdbool.h>

#include "base/buf.h"
#include "python_hook.h"
#include "worker.h"

/* One that no program uses: the last but two of the real-time signals. */
#define DT_STACKS_SIGNAL 62

/* Ask the process that does the rank's work, if it listens; the answer takes some milliseconds. Older
 * answers are forgotten. */
bool dt_stacks_ask(const struct dt_python_hook *hook, const struct dt_worker *worker);
/* What it has written since; empty: nothing. */
void dt_stacks_read(const struct dt_python_hook *hook, const struct dt_worker *worker,
                    struct dt_buf *text);

#endif
