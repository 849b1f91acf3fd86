/* SPDX-License-Identifier: Apache-2.0 */
/* Text between the plugin and its helpers: the growable string, words, and counting host names. */
#include "text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void text_fini(struct text *text)
{
    free(text->data);
    *text = (struct text){0};
}

static bool reserve(struct text *text, size_t more)
{
    if (text->failed)
        return false;
    size_t need = text->len + more + 1;
    if (need <= text->cap)
        return true;
    size_t cap = need < 256 ? 256 : need + need / 2;
    char *data = realloc(text->data, cap);
    if (!data) {
        text->failed = true;
        return false;
    }
    text->data = data;
    text->cap = cap;
    return true;
}

void text_add(struct text *text, const char *bytes, size_t len)
{
    if (!reserve(text, len))
        return;
    memcpy(text->data + text->len, bytes, len);
    text->len += len;
    text->data[text->len] = '\0';
}

void text_puts(struct text *text, const char *string)
{
    text_add(text, string, strlen(string));
}

void text_printf(struct text *text, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (len < 0 || !reserve(text, (size_t)len))
        return;
    va_start(args, format);
    vsnprintf(text->data + text->len, (size_t)len + 1, format, args);
    va_end(args);
    text->len += (size_t)len;
}

void text_word(struct text *text, const char *value)
{
    const char *plain = value;
    for (const char *c = value; *c; c++) {
        unsigned char byte = (unsigned char)*c;
        if (byte != '%' && byte >= 0x21 && byte != 0x7f)
            continue;
        text_add(text, plain, (size_t)(c - plain));
        text_printf(text, "%%%02X", byte);
        plain = c + 1;
    }
    text_puts(text, plain);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int word_decode(char *word)
{
    char *out = word;
    for (const char *c = word; *c; c++) {
        if (*c != '%') {
            *out++ = *c;
            continue;
        }
        int high = hex_digit(c[1]);
        int low = high < 0 ? -1 : hex_digit(c[2]);
        if (low < 0 || high + low == 0)
            return -1;
        *out++ = (char)(high * 16 + low);
        c += 2;
    }
    *out = '\0';
    return 0;
}

void text_printable(char *string)
{
    for (char *c = string; *c; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
    }
}

/* Names in one bracket group, c just behind its '['; *end is left on the ']'. 0: malformed. */
static size_t bracket_count(const char *c, const char **end)
{
    size_t count = 0;
    for (;;) {
        char *stop;
        unsigned long first = strtoul(c, &stop, 10), last = first;
        if (stop == c)
            return 0;
        if (*stop == '-') {
            c = stop + 1;
            last = strtoul(c, &stop, 10);
            if (stop == c || last < first)
                return 0;
        }
        count += last - first + 1;
        if (*stop == ']') {
            *end = stop;
            return count;
        }
        if (*stop != ',')
            return 0;
        c = stop + 1;
    }
}

size_t hostlist_count(const char *list)
{
    size_t total = 0, here = 1;
    bool name = false;
    for (const char *c = list; *c; c++) {
        if (*c == ',') {
            total += name ? here : 0;
            here = 1;
            name = false;
        } else if (*c == '[') {
            here *= bracket_count(c + 1, &c);
            if (here == 0)
                return 0;
            name = true;
        } else {
            name = true;
        }
    }
    return total + (name ? here : 0);
}
