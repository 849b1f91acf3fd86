/* SPDX-License-Identifier: Apache-2.0 */
/* Three things that libconfuse (3.3) leaves to be seen to before it: it counts the line of a comment
 * three times, so that every error after one would name a wrong line, hence comments are taken out;
 * it takes a text that ends inside a section, list or string for a whole one; and a '*' or '+' that
 * no quotes hold is in none of its words, so that it prints the character and reads on. */
#include "conf/conf.h"

#include <string.h>

/* Just after the string that begins at `at`; the end of the text when it is not closed. */
static char *skip_string(char *at)
{
    char quote = *at++;
    while (*at && *at != quote)
        at += at[0] == '\\' && at[1] ? 2 : 1;
    return *at ? at + 1 : at;
}

/* Where the comment at `at` ends; NULL when there is none, or it is not closed. */
static char *end_of_comment(char *at)
{
    if (at[0] == '#' || (at[0] == '/' && at[1] == '/'))
        return at + strcspn(at, "\n");
    if (at[0] != '/' || at[1] != '*')
        return NULL;
    char *end = strstr(at + 2, "*/");
    return end ? end + 2 : NULL;
}

/* May a comment begin after this character? "//" inside a bare word begins none. */
static bool ends_word(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || (c && strchr("\"'{}()=+,;", c));
}

void dt_conf_blank_comments(char *text)
{
    char before = '\n';
    for (char *at = text; *at;) {
        char c = *at;
        char *end = NULL;
        if (c == '#' || (c == '/' && ends_word(before)))
            end = end_of_comment(at);
        if (end) {
            for (; at < end; at++)
                *at = *at == '\n' ? '\n' : ' ';
            before = ' ';
        } else {
            at = c == '"' || c == '\'' ? skip_string(at) : at + 1;
            before = c;
        }
    }
}

int dt_conf_line_of(char *text, const char *option)
{
    size_t len = strlen(option);
    int line = 1;
    bool begins = true; /* a word may begin here */
    for (char *at = text; *at;) {
        const char *end = at + len;
        if (begins && strncmp(at, option, len) == 0 && *(end + strspn(end, " \t\r\n")) == '=')
            return line;
        char *next = *at == '"' || *at == '\'' ? skip_string(at) : at + 1;
        begins = ends_word(*at);
        for (; at < next; at++)
            line += *at == '\n';
    }
    return 0;
}

static bool is_closed(const char *string, const char *end)
{
    return end - string >= 2 && end[-1] == *string;
}

char dt_conf_stray(char *text, int *line)
{
    *line = 1;
    for (char *at = text; *at;) {
        bool is_string = *at == '"' || *at == '\'';
        char *next = is_string ? skip_string(at) : at + 1;
        if (*at == '*' || (*at == '+' && at[1] != '=') || (is_string && !is_closed(at, next)))
            return *at;
        for (; at < next; at++)
            *line += *at == '\n';
    }
    return '\0';
}

int dt_conf_unclosed(char *text)
{
    enum { DEPTH_MAX = 8 }; /* sections hold lists: 3 is the most there is */
    int opened[DEPTH_MAX] = {0}, depth = 0, line = 1;
    for (char *at = text; *at;) {
        char *next = *at == '"' || *at == '\'' ? skip_string(at) : at + 1;
        if (*at == '{' && depth++ < DEPTH_MAX)
            opened[depth - 1] = line;
        else if (*at == '}' && depth > 0)
            depth--;
        for (; at < next; at++)
            line += *at == '\n';
    }
    return depth == 0 ? 0 : opened[(depth < DEPTH_MAX ? depth : DEPTH_MAX) - 1];
}
