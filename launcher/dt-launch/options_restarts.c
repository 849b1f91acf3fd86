/* SPDX-License-Identifier: Apache-2.0 */
/* Options about what follows a failure. */
#include <string.h>

#include "options_rows.h"
#include "session.h"

static int take_max(struct dt_options *o, const char *name, const char *value, struct dt_error *err)
{
    return dt_option_int(name, value, 0, 1000000, &o->max_restarts, err);
}

static int take_progress(struct dt_options *o, const char *name, const char *value,
                         struct dt_error *err)
{
    o->restart_always = strcmp(value, "off") == 0;
    o->restart_progress = o->restart_always || strcmp(value, "auto") == 0 ? NULL : value;
    return *value ? 0
                  : dt_error_set(
                        err, "%s is empty: auto, off, or a pattern of file names is needed", name);
}

static int take_lost(struct dt_options *o, const char *name, const char *value,
                     struct dt_error *err)
{
    if (dt_option_seconds(name, value, &o->lost_after_s, err))
        return -1;
    return o->lost_after_s >= DT_PATIENCE_LEAST
               ? 0
               : dt_error_set(err, "%s is \"%s\": 3 seconds at least, since nodes speak every 2",
                              name, value);
}

int dt_restarts_max(const struct dt_options *options)
{
    const struct dt_driver_options *driver = &options->driver;
    if (options->max_restarts)
        return options->max_restarts;
    return driver->spares + (driver->nodes_least ? driver->nodes - driver->nodes_least : 0);
}

const struct dt_option_row dt_options_of_restarts[] = {
    {.name = "max-restarts",
     .pet = true,
     .value = "N",
     .doc =
         "After a failure start all ranks again, N times at most in the whole job, where that can "
         "help: not after a second failure of the same kind, nor when memory ran out (0)",
     .take = take_max},
    {.name = "restart-progress",
     .value = "auto|off|PATTERN",
     .doc =
         "What must have moved between two restarts: auto: steps, else a minute of life; a PATTERN "
         "of file names (of checkpoints): the newest of them; off: nothing",
     .take = take_progress},
    {.name = "lost-after",
     .value = "SECONDS",
     .doc =
         "A node of which nothing was heard for so long is lost: its network, or it, is down (30)",
     .take = take_lost},
    {0},
};
