/* SPDX-License-Identifier: Apache-2.0 */
/* Options about the watch over a running job: hangs. */
#include "options_rows.h"

static int take_timeout(struct dt_options *o, const char *name, const char *value,
                        struct dt_error *err)
{
    return dt_option_seconds(name, value, &o->hang.timeout_s, err);
}

static int take_action(struct dt_options *o, const char *name, const char *value,
                       struct dt_error *err)
{
    static const char *const words[] = {[DT_ON_HANG_REPORT] = "report",
                                        [DT_ON_HANG_DUMP] = "dump",
                                        [DT_ON_HANG_RESTART] = "restart",
                                        [DT_ON_HANG_STOP] = "stop"};
    int choice = 0;
    if (dt_option_word(name, value, words, sizeof words / sizeof *words, &choice, err))
        return -1;
    o->hang.action = (enum dt_on_hang)choice;
    return 0;
}

static int take_stacks(struct dt_options *o, const char *name, const char *value,
                       struct dt_error *err)
{
    (void)name;
    (void)value;
    (void)err;
    o->hang.python_stacks = true;
    return 0;
}

const struct dt_option_row dt_options_of_watch[] = {
    {.name = "hang-timeout",
     .value = "SECONDS",
     .doc =
         "When nothing moves in the whole job for so long: say what each rank does, and which is "
         "the odd one out; 0: never (600)",
     .take = take_timeout},
    {.name = "on-hang",
     .value = "report|dump|restart|stop",
     .doc = "Then: say so and no more (default), also write what every thread does to "
            "dt-hang-JOB-NODE.txt, restart the job, or end it with code 70",
     .take = take_action},
    {.name = "python-stacks",
     .doc = "Have Python tell its line in such a report: a sitecustomize module of dt-launch's "
            "registers Python's faulthandler",
     .take = take_stacks},
    {0},
};
