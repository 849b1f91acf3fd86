/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of a profiled rank. nsys is told to leave the program alone when its duration is over: a
 * profile must not end the training. */
#include "profile.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/exitcode.h"
#include "prepare.h"

/* ---- ranks --------------------------------------------------------------------------------- */

/* Reads "8" or "8-15" at *at, and the comma behind it. */
static bool next_range(const char **at, long *from, long *to)
{
    char *end;
    if (!isdigit((unsigned char)**at))
        return false;
    *from = *to = strtol(*at, &end, 10);
    if (*end == '-') {
        if (!isdigit((unsigned char)end[1]))
            return false;
        *to = strtol(end + 1, &end, 10);
    }
    if (*end && (*end != ',' || !end[1]))
        return false;
    *at = end + (*end == ',');
    return *from <= *to;
}

bool dt_profile_ranks_good(const char *list)
{
    long from, to;
    if (strcmp(list, "all") == 0)
        return true;
    do {
        if (!next_range(&list, &from, &to))
            return false;
    } while (*list);
    return true;
}

bool dt_profile_has_rank(const char *list, int rank)
{
    long from, to;
    if (strcmp(list, "all") == 0)
        return true;
    while (*list && next_range(&list, &from, &to)) {
        if (rank >= from && rank <= to)
            return true;
    }
    return false;
}

/* ---- words --------------------------------------------------------------------------------- */

struct words {
    char **list; /* NULL-terminated */
    size_t count;
    bool failed;
};

static void add(struct words *words, char *word) /* takes it over */
{
    char **more = reallocarray(words->list, words->count + 2, sizeof *more);
    if (!more || !word) {
        words->failed = true;
        words->list = more ? more : words->list;
        if (more)
            more[words->count] = NULL;
        free(word);
        return;
    }
    words->list = more;
    more[words->count++] = word;
    more[words->count] = NULL;
}

static void add_format(struct words *words, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void add_format(struct words *words, const char *format, ...)
{
    va_list args;
    char *word = NULL;
    va_start(args, format);
    if (vasprintf(&word, format, args) < 0)
        word = NULL;
    va_end(args);
    add(words, word);
}

/* %r: the rank, %n: the node, %%: a percent sign. */
static char *expand(const char *from, size_t len, const struct dt_place *place, int rank)
{
    struct dt_buf word = DT_BUF_INIT;
    for (size_t i = 0; i < len; i++) {
        char next = from[i] == '%' && i + 1 < len ? from[i + 1] : '\0';
        if (next == 'r')
            dt_buf_printf(&word, "%d", rank);
        else if (next == 'n')
            dt_buf_puts(&word, place->node_name);
        else
            dt_buf_append(&word, from + i, 1);
        i += next == 'r' || next == 'n' || next == '%';
    }
    return dt_buf_take(&word);
}

static void add_exec(struct words *words, const struct dt_profile *profile,
                     const struct dt_place *place, int rank)
{
    for (const char *at = profile->command; *at;) {
        size_t len = strcspn(at, " \t");
        if (len)
            add(words, expand(at, len, place, rank));
        at += len + (at[len] != '\0');
    }
}

static void add_nsys(struct words *words, const struct dt_profile *profile,
                     const struct dt_place *place, int rank)
{
    add_format(words, "nsys");
    add_format(words, "profile");
    add_format(words, "--trace=cuda,nvtx,osrt");
    add_format(words, "--force-overwrite=true");
    add_format(words, "--kill=none");
    add_format(words, "--output=dt-nsys-%lld-rank%d",
               place->job >= 0 ? place->job : (long long)getpid(), rank);
    if (profile->delay_s > 0)
        add_format(words, "--delay=%.0f", profile->delay_s);
    if (profile->duration_s > 0)
        add_format(words, "--duration=%.0f", profile->duration_s);
    if (profile->cuda_range) {
        add_format(words, "--capture-range=cudaProfilerApi");
        add_format(words, "--capture-range-end=stop");
    }
}

int dt_profile_command(char ***argv, char **path, const struct dt_options *options,
                       const struct dt_place *place, int rank, int *code, struct dt_error *err)
{
    const struct dt_profile *profile = &options->extras.profile;
    struct words words = {0};
    *argv = NULL;
    *path = NULL;
    if (profile->kind == DT_PROFILER_NONE ||
        !dt_profile_has_rank(profile->ranks ? profile->ranks : "0", rank))
        return 0;
    if (profile->kind == DT_PROFILER_NSYS)
        add_nsys(&words, profile, place, rank);
    else
        add_exec(&words, profile, place, rank);
    for (char **word = options->program; *word; word++)
        add_format(&words, "%s", *word);
    *code = DT_EXIT_HELPER;
    *argv = words.list;
    if (words.failed || !words.list)
        return dt_error_set(err, "out of memory");
    if (dt_program_find(words.list[0], path, code, err))
        return dt_error_prefix(err, "--profile: rank %d", rank);
    return 0;
}

void dt_profile_free(char **argv, char *path)
{
    for (char **word = argv; word && *word; word++)
        free(*word);
    free(argv);
    free(path);
}
