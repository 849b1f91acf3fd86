/* SPDX-License-Identifier: Apache-2.0 */
/* Options about what the ranks write, and what is told of the run. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "options_rows.h"

static int take_prefix(struct dt_options *o, const char *name, const char *value,
                       struct dt_error *err)
{
    static const char *const words[] = {"rank", "node"};
    int choice = 0;
    if (value && dt_option_word(name, value, words, 2, &choice, err))
        return -1;
    o->prefix = choice == 0 ? DT_PREFIX_RANK : DT_PREFIX_NODE;
    return 0;
}

static int take_fold(struct dt_options *o, const char *name, const char *value,
                     struct dt_error *err)
{
    static const char *const words[] = {"lines", "numbers"};
    int choice = 0;
    if (value && dt_option_word(name, value, words, 2, &choice, err))
        return -1;
    o->log.fold = choice == 0 ? DT_FOLD_LINES : DT_FOLD_NUMBERS;
    return 0;
}

static int take_ranks(struct dt_options *o, const char *name, const char *value,
                      struct dt_error *err)
{
    (void)name;
    (void)err;
    o->log.ranks = value; /* how many ranks there are is not known yet */
    return 0;
}

static int take_local_ranks(struct dt_options *o, const char *name, const char *value,
                            struct dt_error *err)
{
    (void)name;
    (void)err;
    o->log.local_ranks = value;
    return 0;
}

static int take_directory(struct dt_options *o, const char *name, const char *value,
                          struct dt_error *err)
{
    o->log.directory = value;
    return *value ? 0 : dt_error_set(err, "%s is empty: a directory is needed", name);
}

/* 100M, 2g, 4096 */
static int take_size(struct dt_options *o, const char *name, const char *value,
                     struct dt_error *err)
{
    static const char units[] = "kmgt";
    char *end;
    errno = 0;
    double size = strtod(value, &end);
    const char *unit = *end ? strchr(units, *end | 0x20) : NULL;
    for (const char *at = units; unit && at <= unit; at++)
        size *= 1024;
    if (errno || end == value || (*end && (!unit || end[1])) || !(size >= 1) || size > 1e18)
        return dt_error_set(err, "%s is \"%s\": a number of bytes is needed, such as 500M", name,
                            value);
    o->log.limit = (long long)size;
    return 0;
}

/* torchrun's: 0 none, 1 standard output, 2 standard error, 3 both; or by local rank, "0:3,1:1". */
static int check_streams(const char *name, const char *value, struct dt_error *err)
{
    for (const char *at = value;;) {
        char *end;
        long first = strtol(at, &end, 10);
        bool map = *end == ':';
        if (end > at && map) {
            at = end + 1;
            first = strtol(at, &end, 10);
        }
        bool single = !map && at == value && !*end;
        if (end == at || first < 0 || first > 3 || !(single || (map && (!*end || *end == ','))))
            return dt_error_set(
                err,
                "%s is \"%s\": 0, 1, 2 or 3 (none, standard output, standard error, "
                "both) is needed, or by local rank, such as 0:3,1:2",
                name, value);
        if (!*end)
            return 0;
        at = end + 1;
    }
}

static int take_redirects(struct dt_options *o, const char *name, const char *value,
                          struct dt_error *err)
{
    o->log.redirects = value;
    return check_streams(name, value, err);
}

static int take_tee(struct dt_options *o, const char *name, const char *value, struct dt_error *err)
{
    o->log.tee = value;
    return check_streams(name, value, err);
}

static int take_progress(struct dt_options *o, const char *name, const char *value,
                         struct dt_error *err)
{
    o->progress_s = isatty(STDERR_FILENO) ? 1 : 60;
    return value ? dt_option_seconds(name, value, &o->progress_s, err) : 0;
}

static int take_events(struct dt_options *o, const char *name, const char *value,
                       struct dt_error *err)
{
    o->events = value;
    return *value ? 0 : dt_error_set(err, "%s is empty: a file is needed", name);
}

static int take_metrics(struct dt_options *o, const char *name, const char *value,
                        struct dt_error *err)
{
    size_t length = strlen(value);
    o->metrics = value;
    return length > 5 && strcmp(value + length - 5, ".prom") == 0
               ? 0
               : dt_error_set(err,
                              "%s is \"%s\": a file whose name ends in .prom is needed, as "
                              "node_exporter's textfile collector reads these only",
                              name, value);
}

const struct dt_option_row dt_options_of_output[] = {
    {.name = "prefix-output",
     .letter = 'l',
     .value = "rank|node",
     .may_lack_value = true,
     .doc = "Begin each line of output with [RANK], or with [NODE:RANK]; lines are never torn",
     .take = take_prefix},
    {.name = "fold",
     .value = "lines|numbers",
     .may_lack_value = true,
     .doc = "Show a line that many ranks write once, behind [RANKS]; numbers: also lines that "
            "differ in numbers only, as LEAST..GREATEST",
     .take = take_fold},
    {.name = "ranks",
     .value = "LIST",
     .doc = "Show output of these ranks only, such as 0,8-15 (default: all)",
     .take = take_ranks},
    {.name = "local-ranks-filter",
     .pet = true,
     .value = "LIST",
     .doc = "Show output of these ranks of each node only",
     .take = take_local_ranks},
    {.name = "log-dir",
     .pet = true,
     .value = "DIR",
     .doc = "Keep what each rank writes in DIR/RANK.out and DIR/RANK.err; DIR is made",
     .take = take_directory},
    {.name = "log-size",
     .value = "SIZE",
     .doc = "Begin a file anew when it has so many bytes (500M); the one before stays as .1",
     .take = take_size},
    {.name = "redirects",
     .letter = 'r',
     .pet = true,
     .value = "STREAMS",
     .doc = "What is kept in files is not shown: 1 standard output, 2 standard error, 3 both; or "
            "by local rank, such as 0:0,1:3",
     .take = take_redirects},
    {.name = "tee",
     .letter = 't',
     .pet = true,
     .value = "STREAMS",
     .doc = "What is both kept and shown; default with --log-dir: 3",
     .take = take_tee},
    {.name = "progress",
     .value = "SECONDS",
     .may_lack_value = true,
     .doc = "Tell every so often how far the job is: time, ranks, step, speed; on a terminal in a "
            "line "
            "that stays below the output (every second there, else every minute)",
     .take = take_progress},
    {.name = "events",
     .value = "FILE",
     .doc = "Append what happens to the job to FILE, a JSON object a line",
     .take = take_events},
    {.name = "metrics",
     .value = "FILE.prom",
     .doc = "Keep metrics in FILE, for node_exporter's textfile collector",
     .take = take_metrics},
    {0},
};
