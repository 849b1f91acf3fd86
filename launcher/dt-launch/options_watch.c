/* SPDX-License-Identifier: Apache-2.0 */
/* Options about the watch over a running job: hangs, and saving before the end. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

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

/* "USR1", "SIGUSR1" */
static int take_signal(struct dt_options *o, const char *name, const char *value,
                       struct dt_error *err)
{
    static const int signals[] = {SIGUSR1, SIGUSR2, SIGTERM, SIGHUP, SIGINT, SIGQUIT};
    const char *word = strncmp(value, "SIG", 3) == 0 ? value + 3 : value;
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        if (strcmp(word, sigabbrev_np(signals[i])) == 0) {
            o->checkpoint.signal = signals[i];
            return 0;
        }
    }
    return dt_error_set(err, "%s is \"%s\": USR1, USR2, TERM, HUP, INT or QUIT is needed", name,
                        value);
}

static int take_window(struct dt_options *o, const char *name, const char *value,
                       struct dt_error *err)
{
    return dt_option_seconds(name, value, &o->checkpoint.window_s, err);
}

/* "exit", "line:TEXT" or a file. */
static int take_ack(struct dt_options *o, const char *name, const char *value, struct dt_error *err)
{
    o->checkpoint.line = o->checkpoint.file = NULL;
    if (strncmp(value, "line:", 5) == 0 && value[5])
        o->checkpoint.line = value + 5;
    else if (!*value || strcmp(value, "line:") == 0)
        return dt_error_set(err, "%s is \"%s\": exit, line:TEXT or a file is needed", name, value);
    else if (strcmp(value, "exit") != 0)
        o->checkpoint.file = value;
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
    {.name = "checkpoint-signal",
     .value = "USR1|...",
     .doc = "Give all ranks this signal before the job's time limit, and when Slurm warns of its "
            "end, for them to save; then end with 75 and requeue the job",
     .take = take_signal},
    {.name = "checkpoint-window",
     .value = "SECONDS",
     .doc = "How long before the time limit (300)",
     .take = take_window},
    {.name = "checkpoint-ack",
     .value = "exit|line:TEXT|FILE",
     .doc =
         "By what the ranks show that they have saved: they end (default), one prints a line that "
         "holds TEXT, or FILE (a pattern) was written",
     .take = take_ack},
    {0},
};
