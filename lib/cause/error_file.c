/* SPDX-License-Identifier: Apache-2.0 */
/* The error file of torch.distributed.elastic: {"message": {"message": "ValueError: boom", "extraInfo":
 * {"py_callstack": "Traceback ...", "timestamp": "1731480000"}}}, or {"message": "text", ...}. Only two
 * strings are wanted of it, so the text is scanned for their keys; no tree is built. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "cause/cause.h"

static const char *skip_space(const char *at)
{
    while (*at && isspace((unsigned char)*at))
        at++;
    return at;
}

/* After the quote that ends the string that begins at `at` (behind its quote); NULL: it never ends. */
static const char *string_end(const char *at)
{
    for (; *at && *at != '"'; at++) {
        if (*at == '\\' && !*++at)
            return NULL;
    }
    return *at ? at + 1 : NULL;
}

static int hex4(const char *at)
{
    int value = 0;
    for (int i = 0; i < 4; i++) {
        if (!isxdigit((unsigned char)at[i]))
            return -1;
        int digit = at[i] <= '9' ? at[i] - '0' : (at[i] | 32) - 'a' + 10;
        value = value * 16 + digit;
    }
    return value;
}

static void put_unicode(struct dt_buf *text, int code)
{
    char bytes[3];
    size_t len = 0;
    if (code < 0x80) {
        bytes[len++] = (char)(code ? code : '?');
    } else if (code < 0x800) {
        bytes[len++] = (char)(0xc0 | code >> 6);
        bytes[len++] = (char)(0x80 | (code & 0x3f));
    } else if (code >= 0xd800 && code < 0xe000) {
        bytes[len++] = '?'; /* half of a character beyond the basic plane */
    } else {
        bytes[len++] = (char)(0xe0 | code >> 12);
        bytes[len++] = (char)(0x80 | (code >> 6 & 0x3f));
        bytes[len++] = (char)(0x80 | (code & 0x3f));
    }
    dt_buf_append(text, bytes, len);
}

/* Decode the string that begins at `at`; `end` is what string_end gave. */
static void put_string(struct dt_buf *text, const char *at, const char *end)
{
    static const char from[] = "nrtbf", to[] = "\n\r\t??";
    while (at < end - 1) {
        if (*at != '\\') {
            dt_buf_append(text, at++, 1);
            continue;
        }
        const char *plain = strchr(from, at[1]);
        int code = at[1] == 'u' ? hex4(at + 2) : -1;
        if (code >= 0) {
            put_unicode(text, code);
            at += 6;
            continue;
        }
        dt_buf_append(text, plain && at[1] ? to + (plain - from) : at + 1, 1);
        at += 2;
    }
}

/* The value behind the first such key at or after `at`; NULL: none. */
static const char *find_value(const char *at, const char *key)
{
    size_t len = strlen(key);
    for (; (at = strchr(at, '"'));) {
        const char *begin = at + 1, *end = string_end(begin);
        if (!end)
            return NULL;
        at = skip_space(end);
        if ((size_t)(end - 1 - begin) == len && strncmp(begin, key, len) == 0 && *at == ':')
            return skip_space(at + 1);
    }
    return NULL;
}

bool dt_cause_error_file(const char *json, struct dt_buf *message, struct dt_buf *callstack)
{
    const char *value = find_value(json, "message");
    if (value && *value == '{')
        value = find_value(value, "message");
    const char *end = value && *value == '"' ? string_end(value + 1) : NULL;
    if (!end)
        return false;
    put_string(message, value + 1, end);
    value = find_value(end, "py_callstack");
    end = value && *value == '"' ? string_end(value + 1) : NULL;
    if (end)
        put_string(callstack, value + 1, end);
    return true;
}
