/* SPDX-License-Identifier: Apache-2.0 */
/* What a word of the script comes to: quotes are taken off, variables put in where the script itself
 * has given them a value. Everything else makes the value unknown, with the reason. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "script/internal.h"

static void expand(struct dt_shell *shell, const char *p, const char *end, bool quoted, int depth,
                   struct dt_shell_value *out);

void dt_shell_value_fini(struct dt_shell_value *value)
{
    dt_buf_fini(&value->text);
    dt_buf_fini(&value->doubt);
}

/* The first reason stands. */
void dt_shell_unknown(struct dt_shell_value *value, const char *format, ...)
{
    char reason[160];
    va_list args;
    if (value->unknown)
        return;
    value->unknown = true;
    va_start(args, format);
    vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    dt_buf_clear(&value->doubt);
    dt_buf_puts(&value->doubt, reason);
}

static void doubt(struct dt_shell_value *value, const char *text)
{
    if (!value->unknown && value->doubt.len == 0)
        dt_buf_puts(&value->doubt, text);
}

static void put(struct dt_shell_value *out, const char *text, size_t len)
{
    if (out->text.len + len > DT_SCRIPT_VALUE_MAX)
        dt_shell_unknown(out, "it is longer than 16 KiB");
    else
        dt_buf_append(&out->text, text, len);
}

static void put_variable(struct dt_shell_value *out, const struct dt_shell_variable *variable)
{
    if (!variable->set)
        return; /* expands to nothing */
    if (!variable->value) {
        dt_shell_unknown(out, "it has $%.60s in it, which is not known: %.80s", variable->name,
                         variable->doubt ? variable->doubt : "");
        return;
    }
    put(out, variable->value, strlen(variable->value));
    if (variable->doubt && *variable->doubt)
        doubt(out, variable->doubt);
}

static void put_name(struct dt_shell *shell, struct dt_shell_value *out, const char *name,
                     size_t len)
{
    const struct dt_shell_variable *variable = dt_shell_find(shell, name, len);
    if (variable)
        put_variable(out, variable);
    else
        dt_shell_unknown(out, "it has $%.*s in it, which the script itself does not set",
                         (int)(len < 60 ? len : 60), name);
}

static bool is_empty(const struct dt_shell_variable *variable)
{
    return !variable->set || (variable->value && !*variable->value);
}

/* ${NAME:-WORD} and ${NAME-WORD}; := and = give the same here, and assign as words of ":" (commands.c). */
static void put_default(struct dt_shell *shell, struct dt_shell_value *out, const char *name,
                        size_t len, bool colon, const char *word, const char *end, bool quoted,
                        int depth)
{
    const struct dt_shell_variable *variable = dt_shell_find(shell, name, len);
    char text[160];
    if (variable && !(colon ? is_empty(variable) : !variable->set)) {
        put_variable(out, variable);
        return;
    }
    if (!variable) {
        snprintf(text, sizeof text, "unless %.*s is set when the job is submitted",
                 (int)(len < 60 ? len : 60), name);
        doubt(out, text);
    }
    expand(shell, word, end, quoted, depth + 1, out);
}

/* ${NAME:+WORD} and ${NAME+WORD} */
static void put_alternative(struct dt_shell *shell, struct dt_shell_value *out, const char *name,
                            size_t len, bool colon, const char *word, const char *end, bool quoted,
                            int depth)
{
    const struct dt_shell_variable *variable = dt_shell_find(shell, name, len);
    if (!variable || (variable->set && !variable->value && colon))
        put_name(shell, out, name, len);
    else if (!(colon ? is_empty(variable) : !variable->set))
        expand(shell, word, end, quoted, depth + 1, out);
}

/* Inside of ${...}. */
static void put_braces(struct dt_shell *shell, struct dt_shell_value *out, const char *p,
                       const char *end, bool quoted, int depth)
{
    size_t len = dt_shell_name(p, (size_t)(end - p));
    const char *rest = p + len;
    bool colon = rest < end && *rest == ':';
    char op = rest + colon < end ? rest[colon] : '\0';
    const char *word = rest + colon + 1;
    if (len > 0 && rest == end)
        put_name(shell, out, p, len);
    else if (len > 0 && (op == '-' || op == '='))
        put_default(shell, out, p, len, colon, word, end, quoted, depth);
    else if (len > 0 && op == '+')
        put_alternative(shell, out, p, len, colon, word, end, quoted, depth);
    else if (len > 0 && op == '?')
        put_name(shell, out, p, len);
    else
        dt_shell_unknown(out, "it has ${%.*s} in it", (int)(end - p < 60 ? end - p : 60), p);
}

/* $NAME, ${...}, $(...), $'...', $"...". Returns how much was taken. */
static long put_dollar(struct dt_shell *shell, struct dt_shell_value *out, const char *p,
                       const char *end, bool quoted, int depth)
{
    long span = dt_script_span(p, end, 0);
    int shown = (int)(span < 60 ? span : 60);
    size_t len;
    if (span > 2 && p[1] == '{') {
        put_braces(shell, out, p + 2, p + span - 1, quoted, depth);
        return span;
    }
    if (span > 0 && p[1] == '(') {
        bool sum = span > 4 && p[2] == '(';
        dt_shell_unknown(out, "it is %s %.*s", sum ? "the sum" : "the output of", shown, p);
        return span;
    }
    if (span > 0 && p[1] == '"' && !quoted) {
        expand(shell, p + 2, p + span - 1, true, depth + 1, out);
        return span;
    }
    if (span > 0 && p[1] == '\'' && !quoted) {
        if (memchr(p + 2, '\\', (size_t)span - 3))
            dt_shell_unknown(out, "it has %.*s in it", shown, p);
        else
            put(out, p + 2, (size_t)span - 3);
        return span;
    }
    len = dt_shell_name(p + 1, (size_t)(end - p - 1));
    if (len > 0) {
        put_name(shell, out, p + 1, len);
        return (long)len + 1;
    }
    if (p + 1 < end && strchr("0123456789@*#?$!-", p[1]) && p[1]) {
        dt_shell_unknown(out, "it has $%c in it", p[1]);
        return 2;
    }
    put(out, p, 1);
    return 1;
}

static long put_backslash(struct dt_shell_value *out, const char *p, const char *end, bool quoted)
{
    if (p + 1 >= end) {
        put(out, p, 1);
        return 1;
    }
    if (p[1] == '\n')
        return 2;
    if (quoted && !strchr("$`\"\\", p[1]))
        put(out, p, 2);
    else
        put(out, p + 1, 1);
    return 2;
}

static long put_part(struct dt_shell *shell, struct dt_shell_value *out, const char *p,
                     const char *end, bool quoted, int depth)
{
    long span;
    switch (*p) {
    case '\\':
        return put_backslash(out, p, end, quoted);
    case '$':
        return put_dollar(shell, out, p, end, quoted, depth);
    case '`':
        span = dt_script_span(p, end, 0);
        if (span <= 0)
            break;
        dt_shell_unknown(out, "it is the output of %.*s", (int)(span < 60 ? span : 60), p);
        return span;
    case '\'':
        span = quoted ? 0 : dt_script_span(p, end, 0);
        if (span <= 0)
            break;
        put(out, p + 1, (size_t)span - 2);
        return span;
    case '"':
        span = quoted ? 0 : dt_script_span(p, end, 0);
        if (quoted)
            return 1; /* inside "${A:-"x"}": the quotes go */
        if (span <= 0)
            break;
        expand(shell, p + 1, p + span - 1, true, depth + 1, out);
        return span;
    default:
        break;
    }
    put(out, p, 1);
    return 1;
}

static void expand(struct dt_shell *shell, const char *p, const char *end, bool quoted, int depth,
                   struct dt_shell_value *out)
{
    if (depth > DT_SCRIPT_DEPTH) {
        dt_shell_unknown(out, "it is nested too deeply");
        return;
    }
    if (depth == 0 && p < end && *p == '~')
        dt_shell_unknown(out, "it begins with ~, somebody's home directory");
    while (p < end && !out->unknown)
        p += put_part(shell, out, p, end, quoted, depth);
}

void dt_shell_expand(struct dt_shell *shell, const char *raw, size_t len,
                     struct dt_shell_value *value)
{
    *value = (struct dt_shell_value){0};
    if (len > 0 && *raw == '(')
        dt_shell_unknown(value, "it is an array, which programs do not get");
    else
        expand(shell, raw, raw + len, false, 0, value);
}

char *dt_shell_plain(const char *raw, size_t len)
{
    struct dt_shell none = {0};
    struct dt_shell_value value;
    char *text = NULL;
    dt_shell_expand(&none, raw, len, &value);
    if (!value.unknown && value.doubt.len == 0)
        text = dt_buf_take(&value.text);
    dt_shell_value_fini(&value);
    return text;
}
