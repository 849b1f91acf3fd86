/* SPDX-License-Identifier: Apache-2.0 */
/* Reading over JSON without building anything of it. */
#include "report/detail.h"

#include <stdlib.h>
#include <string.h>

#include "facts/printable.h"

#define HEAD "{\"type\":\"detail\","

enum { DEPTH_MAX = 8, DIGITS_MAX = 18 };

struct scan {
    const unsigned char *at, *end;
};

static bool skip_char(struct scan *s, char c)
{
    if (s->at == s->end || *s->at != (unsigned char)c)
        return false;
    s->at++;
    return true;
}

static bool skip_word(struct scan *s, const char *word)
{
    size_t len = strlen(word);
    if ((size_t)(s->end - s->at) < len || memcmp(s->at, word, len) != 0)
        return false;
    s->at += len;
    return true;
}

/* One character of more than one byte, as RFC 3629 has it. */
static bool skip_utf8(struct scan *s)
{
    unsigned char first = *s->at;
    size_t len = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || (size_t)(s->end - s->at) < len)
        return false;
    for (size_t i = 1; i < len; i++) {
        if ((s->at[i] & 0xc0) != 0x80)
            return false;
    }
    unsigned char second = s->at[1];
    if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) ||
        (first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f))
        return false;
    s->at += len;
    return true;
}

/* Nothing is escaped that is not visible: dt's own texts hold no such characters. */
static bool skip_string(struct scan *s)
{
    if (!skip_char(s, '"'))
        return false;
    while (s->at < s->end) {
        unsigned char c = *s->at;
        if (c == '"') {
            s->at++;
            return true;
        }
        if (c < 0x20 || c == 0x7f)
            return false;
        if (c >= 0x80) {
            if (!skip_utf8(s))
                return false;
            continue;
        }
        if (c == '\\' && (s->end - s->at < 2 || !strchr("\"\\/", s->at[1]) || !s->at[1]))
            return false;
        s->at += c == '\\' ? 2 : 1;
    }
    return false;
}

static bool skip_integer(struct scan *s)
{
    skip_char(s, '-');
    const unsigned char *first = s->at;
    while (s->at < s->end && *s->at >= '0' && *s->at <= '9')
        s->at++;
    ptrdiff_t digits = s->at - first;
    return digits == 1 || (digits > 1 && digits <= DIGITS_MAX && *first != '0');
}

static bool skip_value(struct scan *s, int depth);

static bool skip_list(struct scan *s, char open, char close, int depth)
{
    if (depth == 0 || !skip_char(s, open))
        return false;
    if (skip_char(s, close))
        return true;
    do {
        if (open == '{' && (!skip_string(s) || !skip_char(s, ':')))
            return false;
        if (!skip_value(s, depth - 1))
            return false;
    } while (skip_char(s, ','));
    return skip_char(s, close);
}

static bool skip_value(struct scan *s, int depth)
{
    switch (s->at < s->end ? *s->at : 0) {
    case '"':
        return skip_string(s);
    case '[':
        return skip_list(s, '[', ']', depth);
    case '{':
        return skip_list(s, '{', '}', depth);
    case 't':
        return skip_word(s, "true");
    case 'f':
        return skip_word(s, "false");
    case 'n':
        return skip_word(s, "null");
    default:
        return skip_integer(s);
    }
}

json_t *dt_detail_message(const struct dt_facts *facts, const struct dt_check_results *checks)
{
    return json_pack("{s:s,s:o,s:O}", "type", "detail", "checks", dt_check_results_to_json(checks),
                     "facts", facts->doc);
}

bool dt_detail_is(const char *text, size_t len)
{
    return len > strlen(HEAD) && memcmp(text, HEAD, strlen(HEAD)) == 0;
}

int dt_detail_take(char **members, const char *text, size_t len, struct dt_error *err)
{
    struct scan s = {.at = (const unsigned char *)text, .end = (const unsigned char *)text + len};
    *members = NULL;
    if (!skip_word(&s, HEAD))
        return dt_error_set(err, "sent details that are none");
    const char *first = (const char *)s.at;
    if (!skip_word(&s, "\"checks\":") || !skip_list(&s, '[', ']', DEPTH_MAX) ||
        !skip_word(&s, ",\"facts\":") || !skip_list(&s, '{', '}', DEPTH_MAX))
        return dt_error_set(err, "sent details of a wrong form, at byte %td",
                            (const char *)s.at - text);
    size_t inside = (size_t)((const char *)s.at - first);
    if (!skip_char(&s, '}') || s.at != s.end)
        return dt_error_set(err, "sent details with more behind them");
    *members = strndup(first, inside);
    if (!*members)
        return dt_error_set(err, "sent details that could not be kept: out of memory");
    dt_printable(*members);
    return 0;
}
