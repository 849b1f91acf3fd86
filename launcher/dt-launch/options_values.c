/* SPDX-License-Identifier: Apache-2.0 */
/* Values that several options take, each refused in one sentence that names the option and the value.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "options_rows.h"

int dt_option_int(const char *name, const char *text, long low, long high, int *value,
                  struct dt_error *err)
{
    char *end;
    errno = 0;
    long n = strtol(text, &end, 10);
    if (errno || end == text || *end || n < low || n > high)
        return dt_error_set(err, "%s is \"%s\": a number from %ld to %ld is needed", name, text,
                            low, high);
    *value = (int)n;
    return 0;
}

int dt_option_range(const char *name, const char *text, int *least, int *most, struct dt_error *err)
{
    int low = 0, high = 0, end = 0;
    if (!strchr(text, ':')) {
        *least = 0;
        return dt_option_int(name, text, 1, DT_NODES_MAX, most, err);
    }
    if (sscanf(text, "%d:%d%n", &low, &high, &end) != 2 || text[end] || low < 1 || high < low ||
        high > DT_NODES_MAX)
        return dt_error_set(err, "%s is \"%s\": a number, or MIN:MAX, from 1 to %d is needed", name,
                            text, DT_NODES_MAX);
    *least = low;
    *most = high;
    return 0;
}

int dt_option_seconds(const char *name, const char *text, double *seconds, struct dt_error *err)
{
    char *end;
    errno = 0;
    double s = strtod(text, &end);
    if (errno || end == text || *end || !(s >= 0 && s <= 86400))
        return dt_error_set(err, "%s is \"%s\": a number of seconds from 0 to 86400 is needed",
                            name, text);
    *seconds = s;
    return 0;
}

int dt_option_word(const char *name, const char *text, const char *const *words, size_t count,
                   int *choice, struct dt_error *err)
{
    struct dt_buf list = DT_BUF_INIT;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(text, words[i]) == 0) {
            dt_buf_fini(&list);
            *choice = (int)i;
            return 0;
        }
        dt_buf_printf(&list, "%s%s", i == 0 ? "" : i + 1 == count ? " or " : ", ", words[i]);
    }
    char *wanted = dt_buf_take(&list);
    dt_error_set(err, "%s is \"%s\": %s is needed", name, text, wanted ? wanted : "another word");
    free(wanted);
    return -1;
}

int dt_option_switch(const char *name, const char *text, bool *on, struct dt_error *err)
{
    static const char *const words[] = {"0", "false", "no", "1", "true", "yes"};
    int choice = 3;
    if (text && *text &&
        dt_option_word(name, text, words, sizeof words / sizeof *words, &choice, err))
        return -1;
    *on = choice >= 3;
    return 0;
}
