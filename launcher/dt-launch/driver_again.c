/* SPDX-License-Identifier: Apache-2.0 */
/* Another attempt of ranks that srun has started. */
#include "driver_again.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/exitcode.h"
#include "cause/restart.h"
#include "loop.h"

void dt_again_begin(struct dt_again *again, const struct dt_options *options)
{
    again->began = dt_now();
    dt_newest_find(&again->mark, options->restart_progress);
}

void dt_again_fini(struct dt_again *again)
{
    free(again->before);
    again->before = NULL;
}

/* Nobody tells the driver of steps: without a pattern of files, a minute of life must do. */
static bool progressed(const struct dt_again *again, const struct dt_options *options)
{
    struct dt_newest now;
    if (options->restart_always)
        return true;
    if (!options->restart_progress)
        return dt_now() - again->began >= DT_RESTART_ALIVE;
    dt_newest_find(&now, options->restart_progress);
    return now.changed_ns != again->mark.changed_ns || now.count != again->mark.count;
}

static bool is_final(int code)
{
    return code == DT_EXIT_USAGE || code == DT_EXIT_UNVALIDATED || code == DT_EXIT_APPLY ||
           code == DT_EXIT_NOT_EXECUTABLE || code == DT_EXIT_NOT_FOUND;
}

bool dt_again_wanted(struct dt_again *again, const struct dt_options *options, int code, int done,
                     double *delay)
{
    const struct dt_failure failure = {.status = code > DT_EXIT_SIGNAL ? code - DT_EXIT_SIGNAL
                                                                       : code << 8,
                                       .flags = is_final(code) ? DT_FAILURE_FINAL : 0};
    if (dt_now() - again->began >= DT_RESTART_STEADY)
        again->in_a_row = 0;
    const struct dt_history history = {.max = options->max_restarts,
                                       .done = done,
                                       .in_a_row = again->in_a_row,
                                       .progressed = progressed(again, options),
                                       .before = again->before};
    struct dt_buf why = DT_BUF_INIT;
    bool wanted = dt_restart_decide(&history, &failure, &why) == DT_FOLLOW_RESTART;
    if (!wanted && why.data && *why.data)
        dprintf(STDERR_FILENO, "dt-launch: no restart: %s\n", why.data);
    dt_buf_fini(&why);
    *delay = dt_restart_delay(&history);
    free(again->before);
    again->before = dt_restart_signature(&failure);
    again->in_a_row++;
    return wanted;
}
