/* SPDX-License-Identifier: Apache-2.0 */
/* What the user asks of the watch over a running job: hangs, and saving before the end. */
#ifndef DT_LAUNCH_OPTIONS_WATCH_H
#define DT_LAUNCH_OPTIONS_WATCH_H

#include <stdbool.h>

enum dt_on_hang { DT_ON_HANG_REPORT, DT_ON_HANG_DUMP, DT_ON_HANG_RESTART, DT_ON_HANG_STOP };

struct dt_hang_options {
    double timeout_s; /* 0: off */
    enum dt_on_hang action;
    bool python_stacks;
};

struct dt_checkpoint_options {
    int signal;       /* 0: none was asked for */
    double window_s;  /* before the time limit */
    const char *line; /* acknowledged by a line of output that holds this; or */
    const char
        *file; /* by a file of this pattern being written; both NULL: by the end of the ranks */
};

#endif
