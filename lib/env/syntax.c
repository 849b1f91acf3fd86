/* SPDX-License-Identifier: Apache-2.0 */
/* The notation of rules files, a part of libconfuse's:
 *
 *     rule "NAME" {
 *         option = 'value'    # comment
 *     }
 *
 * Read apart from libconfuse because two hundred rules must be loaded in 2 ms at every launch, and
 * because an error must name the line of the word. Words are cut out of the text in place. */
#include <string.h>

#include "env/internal.h"

/* The NUL that ends a word may stand on a byte that still means something. */
static char peek(const struct dt_env_syntax *in)
{
    return in->p == in->held_at ? in->held : *in->p;
}

static int wrong(struct dt_env_syntax *in, struct dt_error *err, const char *expected)
{
    char one[2] = {peek(in), '\0'};
    size_t len = strcspn(in->p, " \t\r\n={}#");

    if (!*one)
        return dt_error_set(err, "%s:%d: at the end of the file: expected %s", in->file, in->line,
                            expected);
    if (len == 0)
        return dt_error_set(err, "%s:%d: at '%s': expected %s", in->file, in->line, one, expected);
    return dt_error_set(err, "%s:%d: at '%.*s': expected %s", in->file, in->line,
                        (int)(len > 40 ? 40 : len), in->p, expected);
}

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static void skip_blanks(struct dt_env_syntax *in)
{
    for (char c; (c = peek(in)); in->p++) {
        if (c == '#') {
            in->p += 1 + strcspn(in->p + 1, "\n");
            if (!(c = *in->p))
                return;
        }
        if (c == '\n')
            in->line++;
        else if (!is_blank(c))
            return;
    }
}

static int expect(struct dt_env_syntax *in, char c, const char *expected, struct dt_error *err)
{
    skip_blanks(in);
    if (peek(in) != c)
        return wrong(in, err, expected);
    in->p++;
    return 0;
}

static bool plain(char c)
{
    switch (c) {
    case '\0':
    case '=':
    case '{':
    case '}':
    case '#':
    case '\'':
    case '"':
        return false;
    default:
        return !is_blank(c);
    }
}

static char *take_word(struct dt_env_syntax *in)
{
    char *word = in->p;

    while (plain(*in->p))
        in->p++;
    if (in->p == word)
        return NULL;
    in->held_at = in->p;
    in->held = *in->p;
    *in->p = '\0';
    return word;
}

/* 'text', "text" or a plain word. */
static char *take_value(struct dt_env_syntax *in, const char *expected, struct dt_error *err)
{
    char quote, *value, *end;

    skip_blanks(in);
    quote = peek(in);
    if (quote != '\'' && quote != '"') {
        if (!(value = take_word(in)))
            wrong(in, err, expected);
        return value;
    }
    value = in->p + 1;
    if (!(end = strchr(value, quote))) {
        dt_error_set(err, "%s:%d: the quote %c is never closed", in->file, in->line, quote);
        return NULL;
    }
    for (char *p = value; p < end; p++)
        in->line += *p == '\n';
    *end = '\0';
    in->p = end + 1;
    return value;
}

int dt_env_syntax_rule(struct dt_env_syntax *in, char **name, struct dt_error *err)
{
    skip_blanks(in);
    if (!peek(in))
        return 0;
    if (strncmp(in->p, "rule", 4) != 0 || plain(in->p[4]))
        return wrong(in, err, "rule \"NAME\" {");
    take_word(in);
    *name = take_value(in, "the rule's name in quotes", err);
    if (!*name)
        return -1;
    return expect(in, '{', "'{' after the rule's name", err) ? -1 : 1;
}

int dt_env_syntax_option(struct dt_env_syntax *in, struct dt_env_option *option,
                         struct dt_error *err)
{
    skip_blanks(in);
    if (peek(in) == '}') {
        in->p++;
        return 0;
    }
    option->key_line = in->line;
    if (!(option->key = take_word(in)))
        return wrong(in, err, "an option of the rule, or '}'");
    if (expect(in, '=', "'=' after the option's name", err))
        return -1;
    skip_blanks(in);
    option->value_line = in->line;
    option->value = take_value(in, "a value", err);
    return option->value ? 1 : -1;
}
