/* SPDX-License-Identifier: Apache-2.0 */
/* Making foreign text safe for a terminal. */
#include "facts/printable.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Length of a UTF-8 sequence that would act on the terminal, or 0. */
static size_t acting_sequence(const unsigned char *c)
{
    if (c[0] == 0xc2 && c[1] >= 0x80 && c[1] <= 0x9f) /* C1: U+0080 to U+009F */
        return 2;
    if (c[0] != 0xe2)
        return 0;
    /* U+200B to U+200F, U+2028 to U+202E, U+2060 to U+206F: invisible, or they reorder the line */
    if (c[1] == 0x80 && ((c[2] >= 0x8b && c[2] <= 0x8f) || (c[2] >= 0xa8 && c[2] <= 0xae)))
        return 3;
    return c[1] == 0x81 && c[2] >= 0xa0 && c[2] <= 0xaf ? 3 : 0;
}

void dt_printable(char *text)
{
    unsigned char *to = (unsigned char *)text;
    for (const unsigned char *c = to; *c;) {
        size_t len = acting_sequence(c);
        if (len) {
            *to++ = '?';
            c += len;
        } else {
            *to++ = *c < 0x20 || *c == 0x7f ? '?' : *c;
            c++;
        }
    }
    *to = '\0';
}

json_t *dt_printable_json(const char *text, size_t max)
{
    size_t len = strnlen(text, max);
    char *copy = strndup(text, len);
    if (!copy)
        return NULL;
    /* Do not cut inside a UTF-8 sequence. */
    if (text[len]) {
        while (len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80)
            len--;
        copy[len] = '\0';
    }
    dt_printable(copy);
    json_t *json = json_string(copy);
    if (!json) {
        for (unsigned char *c = (unsigned char *)copy; *c; c++) {
            if (*c >= 0x80)
                *c = '?';
        }
        json = json_string(copy);
    }
    free(copy);
    return json;
}
