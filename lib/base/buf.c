/* SPDX-License-Identifier: Apache-2.0 */
/* Growable string. */
#include "base/buf.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool reserve(struct dt_buf *buf, size_t more)
{
    if (buf->failed || more > SIZE_MAX / 4 - buf->len) {
        buf->failed = true;
        return false;
    }
    size_t need = buf->len + more + 1;
    if (need <= buf->cap)
        return true;
    size_t cap = buf->cap ? buf->cap * 2 : 128;
    if (cap < need)
        cap = need;
    char *data = realloc(buf->data, cap);
    if (!data) {
        buf->failed = true;
        return false;
    }
    buf->data = data;
    buf->cap = cap;
    return true;
}

void dt_buf_fini(struct dt_buf *buf)
{
    free(buf->data);
    *buf = DT_BUF_INIT;
}

void dt_buf_clear(struct dt_buf *buf)
{
    buf->len = 0;
    buf->failed = false;
    if (buf->data)
        buf->data[0] = '\0';
}

void dt_buf_append(struct dt_buf *buf, const void *bytes, size_t len)
{
    if (!reserve(buf, len))
        return;
    if (len)
        memcpy(buf->data + buf->len, bytes, len);
    buf->len += len;
    buf->data[buf->len] = '\0';
}

void dt_buf_puts(struct dt_buf *buf, const char *text)
{
    dt_buf_append(buf, text, strlen(text));
}

void dt_buf_printf(struct dt_buf *buf, const char *format, ...)
{
    va_list args;
    size_t room = buf->failed ? 0 : buf->cap - buf->len;
    va_start(args, format);
    int n = vsnprintf(room ? buf->data + buf->len : NULL, room, format, args);
    va_end(args);
    bool whole = n >= 0 && (size_t)n < room;
    if (n < 0 || (!whole && !reserve(buf, (size_t)n))) {
        if (room)
            buf->data[buf->len] = '\0';
        buf->failed = true;
        return;
    }
    if (!whole) {
        va_start(args, format);
        vsnprintf(buf->data + buf->len, (size_t)n + 1, format, args);
        va_end(args);
    }
    buf->len += (size_t)n;
}

void dt_buf_number(struct dt_buf *buf, long long number)
{
    char digits[24], *end = digits + sizeof digits, *at = end;
    unsigned long long left =
        number < 0 ? 0 - (unsigned long long)number : (unsigned long long)number;
    do
        *--at = (char)('0' + left % 10);
    while (left /= 10);
    if (number < 0)
        *--at = '-';
    dt_buf_append(buf, at, (size_t)(end - at));
}

char *dt_buf_take(struct dt_buf *buf)
{
    if (!buf->failed && !buf->data)
        reserve(buf, 0);
    char *data = buf->data;
    if (buf->failed || !data) {
        dt_buf_fini(buf);
        return NULL;
    }
    data[buf->len] = '\0';
    *buf = DT_BUF_INIT;
    return data;
}

void dt_buf_json(struct dt_buf *buf, const char *value)
{
    dt_buf_puts(buf, "\"");
    for (const unsigned char *at = (const unsigned char *)value; *at; at++) {
        if (*at == '"' || *at == '\\')
            dt_buf_printf(buf, "\\%c", *at);
        else if (*at < 0x20)
            dt_buf_printf(buf, "\\u%04x", *at);
        else
            dt_buf_append(buf, at, 1);
    }
    dt_buf_puts(buf, "\"");
}
