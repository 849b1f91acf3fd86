/* SPDX-License-Identifier: Apache-2.0 */
/* Comments are taken out before libconfuse sees the text: its scanner (3.3) counts the line of a
 * comment three times, and every error after one would name a wrong line. */
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
