/* SPDX-License-Identifier: Apache-2.0 */
/* Names of checkpoints; see checkpoint_list.h. */
#include "checkpoint_list.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *dt_checkpoint_name(const char *directory, long long step, const char *ending)
{
    char *name;
    return asprintf(&name, "%s/step-%08lld%s", directory, step, ending) < 0 ? NULL : name;
}

static int newest_first(const void *a, const void *b)
{
    long long x = *(const long long *)a, y = *(const long long *)b;
    return (x < y) - (x > y);
}

/* The step in a checkpoint's name with this ending; -1: it is none. */
static long long step_of(const char *name, const char *ending)
{
    static const char begin[] = "step-";
    if (strncmp(name, begin, sizeof begin - 1) != 0)
        return -1;
    const char *digits = name + sizeof begin - 1;
    char *end;
    errno = 0;
    long long step = strtoll(digits, &end, 10);
    bool whole = end - digits >= 8 && *digits >= '0' && *digits <= '9' && errno == 0;
    return whole && strcmp(end, ending) == 0 ? step : -1;
}

int dt_checkpoint_list(const char *directory, const char *ending, long long **steps, size_t *count,
                       struct dt_error *err)
{
    DIR *dir = opendir(directory);
    *steps = NULL;
    *count = 0;
    if (!dir)
        return dt_error_set(err, "checkpoint directory %s can not be read: %s", directory,
                            strerror(errno));
    for (struct dirent *entry; (entry = readdir(dir));) {
        long long step = step_of(entry->d_name, ending);
        if (step < 0)
            continue;
        long long *grown = realloc(*steps, (*count + 1) * sizeof **steps);
        if (!grown) {
            closedir(dir);
            free(*steps);
            *steps = NULL;
            *count = 0;
            return dt_error_set(err, "no memory for the list of checkpoints in %s", directory);
        }
        grown[(*count)++] = step;
        *steps = grown;
    }
    closedir(dir);
    if (*count > 0)
        qsort(*steps, *count, sizeof **steps, newest_first);
    return 0;
}
