/* SPDX-License-Identifier: Apache-2.0 */
/* Filling the document of facts. */
#include "facts/reader.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "facts/printable.h"

void dt_reader_take(struct dt_reader *reader, const char *key, json_t *value)
{
    if (json_object_set_new_nocheck(reader->doc, key, value) < 0)
        reader->failed = true;
}

void dt_reader_int(struct dt_reader *reader, const char *key, long long value)
{
    dt_reader_take(reader, key, json_integer(value));
}

void dt_reader_string(struct dt_reader *reader, const char *key, const char *value)
{
    dt_reader_take(reader, key, dt_printable_json(value, DT_FACT_TEXT_MAX));
}

void dt_reader_why(struct dt_reader *reader, const char *key, const char *format, ...)
{
    char name[128];
    char reason[512];
    va_list args;
    va_start(args, format);
    vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    snprintf(name, sizeof name, "why.%s", key);
    dt_reader_string(reader, name, reason);
}

bool dt_reader_file(struct dt_reader *reader, const char *key, const char *path)
{
    char text[1024];
    ssize_t n = dt_root_read(reader->root, text, sizeof text, "%s", path);
    if (n > 0) {
        dt_reader_string(reader, key, text);
        return true;
    }
    dt_reader_why(reader, key, "/%s: %s", path, n == 0 ? "empty" : strerror((int)-n));
    return false;
}
