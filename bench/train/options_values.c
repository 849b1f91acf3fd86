/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the value of an option into its field, and printing it from there; see options_rows.h. */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "options_rows.h"

static void *field_of(struct dt_options *options, const struct dt_option_row *row)
{
    return (char *)options + row->place;
}

static const void *value_of(const struct dt_options *options, const struct dt_option_row *row)
{
    return (const char *)options + row->place;
}

static int whole(const struct dt_option_row *row, const char *text, long long most,
                 long long *value, struct dt_error *err)
{
    char *end;
    errno = 0;
    *value = strtoll(text, &end, 10);
    if (errno == 0 && end != text && *end == '\0' && *value >= (long long)row->least &&
        *value <= most)
        return 0;
    return dt_error_set(err, "--%s %s: a whole number from %lld to %lld is wanted", row->name, text,
                        (long long)row->least, most);
}

DT_TAKER(dt_take_int)
{
    long long value;
    if (whole(row, text, (long long)row->most, &value, err) < 0)
        return -1;
    *(int *)field_of(options, row) = (int)value;
    return 0;
}

DT_TAKER(dt_take_long)
{
    long long value;
    if (whole(row, text, (long long)row->most, &value, err) < 0)
        return -1;
    *(long *)field_of(options, row) = (long)value;
    return 0;
}

DT_TAKER(dt_take_seed)
{
    long long value;
    if (whole(row, text, LLONG_MAX, &value, err) < 0)
        return -1;
    *(unsigned long long *)field_of(options, row) = (unsigned long long)value;
    return 0;
}

DT_TAKER(dt_take_number)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !isfinite(value) || value < row->least || value > row->most)
        return dt_error_set(err, "--%s %s: a number from %g to %g is wanted", row->name, text,
                            row->least, row->most);
    *(double *)field_of(options, row) = value;
    return 0;
}

DT_TAKER(dt_take_text)
{
    (void)err;
    *(const char **)field_of(options, row) = text;
    return 0;
}

DT_TAKER(dt_take_on)
{
    (void)text, (void)err;
    *(bool *)field_of(options, row) = true;
    return 0;
}

DT_TAKER(dt_take_set)
{
    (void)text, (void)err;
    *(int *)field_of(options, row) = (int)row->least;
    return 0;
}

/* "auto, mpi or none" */
static char *join(const char *const *words)
{
    struct dt_buf text = DT_BUF_INIT;
    for (size_t i = 0; words[i]; i++)
        dt_buf_printf(&text, "%s%s", i == 0 ? "" : words[i + 1] ? ", " : " or ", words[i]);
    return dt_buf_take(&text);
}

DT_TAKER(dt_take_word)
{
    for (int i = 0; row->words[i]; i++) {
        if (strcmp(text, row->words[i]) == 0) {
            *(int *)field_of(options, row) = i;
            return 0;
        }
    }
    char *words = join(row->words);
    dt_error_set(err, "--%s %s: %s is wanted", row->name, text, words ? words : "another word");
    free(words);
    return -1;
}

void dt_option_print(struct dt_buf *text, const struct dt_options *options,
                     const struct dt_option_row *row)
{
    const void *at = value_of(options, row);
    dt_buf_printf(text, "--%s ", row->name);
    if (row->compared == DT_GIVEN_EQUAL)
        dt_buf_printf(text, "%s\n", *(const char *const *)at ? "yes" : "no");
    else if (row->take == dt_take_int)
        dt_buf_printf(text, "%d\n", *(const int *)at);
    else if (row->take == dt_take_set)
        dt_buf_printf(text, "%s\n", *(const int *)at == (int)row->least ? "yes" : "no");
    else if (row->take == dt_take_long)
        dt_buf_printf(text, "%ld\n", *(const long *)at);
    else if (row->take == dt_take_seed)
        dt_buf_printf(text, "%llu\n", *(const unsigned long long *)at);
    else if (row->take == dt_take_number)
        dt_buf_printf(text, "%.17g\n", *(const double *)at);
    else if (row->take == dt_take_on)
        dt_buf_printf(text, "%s\n", *(const bool *)at ? "yes" : "no");
    else if (row->take == dt_take_word)
        dt_buf_printf(text, "%s\n", row->words[*(const int *)at]);
    else
        dt_buf_printf(text, "%s\n", *(const char *const *)at ? *(const char *const *)at : "no");
}
