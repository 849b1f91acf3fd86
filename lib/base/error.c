/* SPDX-License-Identifier: Apache-2.0 */
/* Sentences for the caller: formatting, truncation, and making foreign text safe to print. */
#include "base/error.h"

#include <stdio.h>
#include <string.h>

static void make_printable(char *text)
{
    for (unsigned char *c = (unsigned char *)text; *c; c++) {
        if (*c < 0x20 || *c == 0x7f)
            *c = '?';
    }
}

int dt_error_vset(struct dt_error *err, const char *format, va_list args)
{
    if (!err)
        return -1;
    int n = vsnprintf(err->text, sizeof err->text, format, args);
    if (n < 0)
        snprintf(err->text, sizeof err->text, "(message could not be formatted)");
    else if ((size_t)n >= sizeof err->text)
        memcpy(err->text + sizeof err->text - 4, "...", 4);
    make_printable(err->text);
    return -1;
}

int dt_error_set(struct dt_error *err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    dt_error_vset(err, format, args);
    va_end(args);
    return -1;
}

int dt_error_prefix(struct dt_error *err, const char *format, ...)
{
    if (!err)
        return -1;
    struct dt_error inner = *err;
    struct dt_error head;
    va_list args;
    va_start(args, format);
    dt_error_vset(&head, format, args);
    va_end(args);
    return dt_error_set(err, "%s: %s", head.text, inner.text);
}
