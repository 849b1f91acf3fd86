/* SPDX-License-Identifier: Apache-2.0 */
/* Options about what is done around the ranks: profilers, read-ahead, commands before, limits. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "options_rows.h"
#include "profile.h"

static int take_pre(struct dt_options *o, const char *name, const char *value, struct dt_error *err)
{
    if (!*value)
        return dt_error_set(err, "%s is empty: a command is needed", name);
    if (strcmp(name, "--pre") == 0)
        o->extras.pre = value;
    else
        o->extras.pre_once = value;
    return 0;
}

static int take_prewarm(struct dt_options *o, const char *name, const char *value,
                        struct dt_error *err)
{
    if (!*value || strcmp(value, "python:") == 0)
        return dt_error_set(
            err, "%s is \"%s\": last, a file, a directory or python:MODULE is needed", name, value);
    if (o->extras.prewarm_count == DT_PREWARM_MAX)
        return dt_error_set(err, "%s is given more than %d times", name, DT_PREWARM_MAX);
    o->extras.prewarm[o->extras.prewarm_count++] = value;
    return 0;
}

/* ---- limits -------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    int resource;
} resources[] = {
    {"as", RLIMIT_AS},
    {"core", RLIMIT_CORE},
    {"cpu", RLIMIT_CPU},
    {"data", RLIMIT_DATA},
    {"fsize", RLIMIT_FSIZE},
    {"memlock", RLIMIT_MEMLOCK},
    {"msgqueue", RLIMIT_MSGQUEUE},
    {"nofile", RLIMIT_NOFILE},
    {"nproc", RLIMIT_NPROC},
    {"rtprio", RLIMIT_RTPRIO},
    {"sigpending", RLIMIT_SIGPENDING},
    {"stack", RLIMIT_STACK},
};

/* "unlimited", "hard", "64M" */
static bool read_limit(struct dt_ulimit *limit, const char *text)
{
    static const char suffixes[] = "KMGT";
    char *end;
    if (strcmp(text, "unlimited") == 0) {
        limit->value = RLIM_INFINITY;
        return true;
    }
    if (strcmp(text, "hard") == 0) {
        limit->hard = true;
        return true;
    }
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno || end == text || !isdigit((unsigned char)text[0]))
        return false;
    const char *suffix = *end ? strchr(suffixes, toupper((unsigned char)*end)) : NULL;
    int shift = suffix ? 10 * (int)(suffix - suffixes + 1) : 0;
    limit->value = (rlim_t)value << shift;
    return !end[suffix ? 1 : 0] && (limit->value >> shift) == value &&
           limit->value != RLIM_INFINITY;
}

static int take_ulimit(struct dt_options *o, const char *name, const char *value,
                       struct dt_error *err)
{
    struct dt_ulimit limit = {.text = value, .resource = -1};
    size_t length = strcspn(value, "=");
    for (size_t i = 0; i < sizeof resources / sizeof *resources; i++) {
        if (strlen(resources[i].name) == length && strncmp(resources[i].name, value, length) == 0)
            limit.resource = resources[i].resource;
    }
    if (limit.resource < 0)
        return dt_error_set(err,
                            "%s is \"%s\": as, core, cpu, data, fsize, memlock, msgqueue, nofile, "
                            "nproc, rtprio, sigpending or stack is needed before the =",
                            name, value);
    if (!value[length] || !read_limit(&limit, value + length + 1))
        return dt_error_set(err,
                            "%s is \"%s\": a number, perhaps with K, M, G or T, or unlimited, or "
                            "hard is needed behind the =",
                            name, value);
    if (o->extras.ulimit_count == DT_ULIMIT_MAX)
        return dt_error_set(err, "%s is given more than %d times", name, DT_ULIMIT_MAX);
    o->extras.ulimits[o->extras.ulimit_count++] = limit;
    return 0;
}

/* ---- profilers ----------------------------------------------------------------------------- */

static int read_word(struct dt_profile *profile, char *word, const char *name, struct dt_error *err)
{
    struct dt_error why;
    if (strncmp(word, "ranks=", 6) == 0 && dt_profile_ranks_good(word + 6))
        profile->ranks = word + 6;
    else if (strncmp(word, "delay=", 6) == 0 &&
             dt_option_seconds(name, word + 6, &profile->delay_s, &why) == 0)
        return 0;
    else if (strncmp(word, "duration=", 9) == 0 &&
             dt_option_seconds(name, word + 9, &profile->duration_s, &why) == 0)
        return 0;
    else if (strcmp(word, "range=cuda") == 0)
        profile->cuda_range = true;
    else
        return dt_error_set(err,
                            "%s: \"%s\" is none of ranks=0,8-15, delay=SECONDS, duration=SECONDS, "
                            "range=cuda",
                            name, word);
    return 0;
}

/* "nsys:ranks=0,8:delay=60", "exec:CMD", "exec:ranks=0:CMD" */
static int take_profile(struct dt_options *o, const char *name, const char *value,
                        struct dt_error *err)
{
    struct dt_extras *extras = &o->extras;
    free(extras->profile_text);
    extras->profile = (struct dt_profile){0};
    char *rest = extras->profile_text = strdup(value);
    if (!rest)
        return dt_error_set(err, "out of memory");
    const char *kind = strsep(&rest, ":");
    if (strcmp(kind, "exec") == 0) {
        extras->profile.kind = DT_PROFILER_EXEC;
        if (rest && strncmp(rest, "ranks=", 6) == 0 &&
            read_word(&extras->profile, strsep(&rest, ":"), name, err))
            return -1;
        extras->profile.command = rest;
        return rest && rest[strspn(rest, " ")]
                   ? 0
                   : dt_error_set(err, "%s is \"%s\": exec:COMMAND is needed", name, value);
    }
    extras->profile.kind = DT_PROFILER_NSYS;
    if (strcmp(kind, "nsys") != 0)
        return dt_error_set(err, "%s is \"%s\": nsys or exec:COMMAND is needed", name, value);
    for (char *word; (word = strsep(&rest, ":"));) {
        if (read_word(&extras->profile, word, name, err))
            return -1;
    }
    return 0;
}

const struct dt_option_row dt_options_of_extras[] = {
    {.name = "pre",
     .value = "COMMAND",
     .doc = "Run by sh on each node before its processes start; all wait for all",
     .take = take_pre},
    {.name = "pre-once",
     .value = "COMMAND",
     .doc = "Run by sh on node 0, before all that is done on any other",
     .take = take_pre},
    {.name = "prewarm",
     .value = "last|DIR|FILE|python:MODULE",
     .doc = "Read these on each node, by many threads, before the processes start, which then find "
            "them in memory; last: what the program read at its last start; may be given several "
            "times",
     .take = take_prewarm},
    {.name = "ulimit",
     .value = "NAME=VALUE",
     .doc = "Limit of the processes: core, memlock, nofile, stack ... = a number (K, M, G, T), "
            "unlimited, or hard; may be given several times",
     .take = take_ulimit},
    {.name = "profile",
     .value = "nsys[:WORD...]|exec:COMMAND",
     .doc =
         "Run some ranks under a profiler. WORDs: ranks=0,8-15 (0), delay=SECONDS, "
         "duration=SECONDS, range=cuda; exec: COMMAND before the program, %r its rank, %n its node",
     .take = take_profile},
    {0},
};
