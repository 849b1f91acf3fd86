/* SPDX-License-Identifier: Apache-2.0 */
/* Finding one section of the instance table without parsing the others: quotes and braces are all
 * that has to be understood for that. Comments have been blanked out before. */
#include "instances/internal.h"

#include <stdbool.h>
#include <string.h>

/* The last word before a top-level '{' is the title of the section that it opens. */
struct scan {
    const char *at;
    const char *word; /* of the last word or string */
    size_t word_len;
    bool failed;
};

static const char *skip_string(const char *at)
{
    char quote = *at++;
    while (*at && *at != quote)
        at += at[0] == '\\' && at[1] ? 2 : 1;
    return *at ? at + 1 : NULL;
}

/* Step over one token. Returns its first character, or '\0' at the end or when it has failed. */
static char next_token(struct scan *scan)
{
    scan->at += strspn(scan->at, " \t\r\n");
    const char *begin = scan->at;
    if (*begin == '\0')
        return '\0';
    if (*begin == '"' || *begin == '\'') {
        scan->at = skip_string(begin);
        if (!scan->at) {
            scan->at = begin;
            scan->failed = true;
            return '\0';
        }
        scan->word = begin + 1;
        scan->word_len = (size_t)(scan->at - begin) - 2;
        return '"';
    }
    scan->at += strcspn(begin, " \t\r\n\"'{}()=,#");
    if (scan->at == begin) {
        scan->at++;
        return *begin;
    }
    scan->word = begin;
    scan->word_len = (size_t)(scan->at - begin);
    return 'w';
}

static bool is_word(const struct scan *scan, const char *word)
{
    return scan->word && scan->word_len == strlen(word) &&
           memcmp(scan->word, word, scan->word_len) == 0;
}

int dt_instances_locate(const char *text, const char *type, size_t *begin, size_t *end)
{
    struct scan scan = {.at = text};
    int depth = 0;
    bool wanted = false;
    const char *start = NULL; /* of the top-level section */
    for (char token; (token = next_token(&scan));) {
        if (token == 'w' && depth == 0 && is_word(&scan, "instance"))
            start = scan.word;
        if (token == '{' && depth++ == 0)
            wanted = start && is_word(&scan, type);
        if (token != '}')
            continue;
        if (depth == 0)
            return -1;
        if (--depth == 0 && wanted) {
            *begin = (size_t)(start - text);
            *end = (size_t)(scan.at - text);
            return 1;
        }
    }
    return scan.failed || depth != 0 ? -1 : 0;
}
