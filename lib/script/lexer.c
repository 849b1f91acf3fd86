/* SPDX-License-Identifier: Apache-2.0 */
/* A shell script as tokens. */
#include <stdlib.h>
#include <string.h>

#include "script/internal.h"

static long span_single(const char *p, const char *end)
{
    const char *close = memchr(p + 1, '\'', (size_t)(end - p - 1));
    return close ? close - p + 1 : -1;
}

/* $'...': a backslash keeps the quote after it. */
static long span_ansi(const char *p, const char *end)
{
    for (const char *q = p + 2; q < end; q++) {
        if (*q == '\\')
            q++;
        else if (*q == '\'')
            return q - p + 1;
    }
    return -1;
}

static long span_backquote(const char *p, const char *end)
{
    for (const char *q = p + 1; q < end; q++) {
        if (*q == '\\')
            q++;
        else if (*q == '`')
            return q - p + 1;
    }
    return -1;
}

/* What a '#' begins inside $(...), up to the end of the line. */
static bool begins_comment(const char *q, const char *begin)
{
    return *q == '#' && (q == begin || strchr(" \t\n;(", q[-1]));
}

/* From behind the opening to behind `close`, minding what is nested. */
static long span_until(const char *p, const char *begin, const char *end, char open, char close,
                       int depth)
{
    int nested = 0;
    bool in_quotes = close == '"', command = close == ')' && open == '(';
    for (const char *q = begin; q < end; q++) {
        long inner = 0;
        if (*q == '\\') {
            q++;
            continue;
        }
        if (command && begins_comment(q, begin)) {
            const char *line = memchr(q, '\n', (size_t)(end - q));
            if (!line)
                return -1;
            q = line;
            continue;
        }
        if (*q == close && nested == 0)
            return q - p + 1;
        if (open && *q == open)
            nested++;
        else if (*q == close)
            nested--;
        else if (!in_quotes || *q == '$' || *q == '`')
            inner = in_quotes && q + 1 < end && *q == '$' && (q[1] == '\'' || q[1] == '"')
                        ? 0
                        : dt_script_span(q, end, depth + 1);
        if (inner < 0)
            return -1;
        if (inner > 0)
            q += inner - 1;
    }
    return -1;
}

long dt_script_span(const char *p, const char *end, int depth)
{
    char next = p + 1 < end ? p[1] : '\0';
    if (p >= end)
        return 0;
    if (depth > DT_SCRIPT_DEPTH)
        return -1;
    switch (*p) {
    case '\'':
        return span_single(p, end);
    case '"':
        return span_until(p, p + 1, end, '\0', '"', depth);
    case '`':
        return span_backquote(p, end);
    case '$':
        if (next == '\'')
            return span_ansi(p, end);
        if (next == '"') {
            long inner = dt_script_span(p + 1, end, depth + 1);
            return inner < 0 ? -1 : inner + 1;
        }
        if (next == '(')
            return span_until(p, p + 2, end, '(', ')', depth);
        if (next == '{')
            return span_until(p, p + 2, end, '{', '}', depth);
        return 0;
    default:
        return 0;
    }
}

static int count_lines(const char *p, size_t len)
{
    int lines = 0;
    for (size_t i = 0; i < len; i++)
        lines += p[i] == '\n';
    return lines;
}

/* Blanks, comments, continued lines. */
static void skip_blanks(struct dt_lexer *in)
{
    while (in->p < in->end) {
        if (*in->p == ' ' || *in->p == '\t' || *in->p == '\r') {
            in->p++;
        } else if (*in->p == '\\' && in->p + 1 < in->end && in->p[1] == '\n') {
            in->p += 2;
            in->line++;
        } else if (*in->p == '#') {
            const char *line = memchr(in->p, '\n', (size_t)(in->end - in->p));
            in->p = line ? line : in->end;
        } else {
            return;
        }
    }
}

static bool ends_word(char c)
{
    return c == '\0' || strchr(" \t\r\n;&|()<>", c) != NULL;
}

static int wrong(const struct dt_lexer *in, const char *what)
{
    return dt_error_set(in->err, "line %d: %s", in->line, what);
}

/* An array's value, NAME=(...), belongs to the word. */
static bool opens_array(const char *begin, const char *p)
{
    return *p == '(' && p > begin && p[-1] == '=';
}

static int read_word(struct dt_lexer *in, struct dt_token *token)
{
    const char *begin = in->p;
    *token = (struct dt_token){DT_TOKEN_WORD, begin, 0, in->line};
    while (in->p < in->end) {
        long inner = opens_array(begin, in->p) ? span_until(in->p, in->p + 1, in->end, '(', ')', 0)
                                               : dt_script_span(in->p, in->end, 0);
        if (inner < 0)
            return wrong(in, "a quote, bracket or backquote that begins here is not closed, or "
                             "nested too deeply");
        if (inner == 0) {
            if (ends_word(*in->p))
                break;
            inner = *in->p == '\\' && in->p + 1 < in->end ? 2 : 1;
        }
        in->line += count_lines(in->p, (size_t)inner);
        in->p += inner;
    }
    token->len = (size_t)(in->p - begin);
    return 0;
}

static int add_here(struct dt_lexer *in, const struct dt_token *word, bool tabs)
{
    struct dt_here *grown = realloc(in->heres, (in->here_count + 1) * sizeof *grown);
    if (!grown)
        return wrong(in, "no memory left");
    in->heres = grown;
    /* A delimiter is never expanded: "$X" is the text "$X". */
    char *plain = dt_shell_plain(word->raw, word->len);
    grown[in->here_count].delimiter = plain ? plain : strndup(word->raw, word->len);
    grown[in->here_count].tabs = tabs;
    grown[in->here_count].quoted = false;
    for (size_t i = 0; i < word->len; i++)
        grown[in->here_count].quoted |= strchr("'\"\\", word->raw[i]) != NULL;
    return grown[in->here_count++].delimiter ? 0 : wrong(in, "no memory left");
}

static void skip_here(struct dt_lexer *in, const struct dt_here *here)
{
    size_t want = strlen(here->delimiter);
    in->body = (struct dt_body){in->p, 0, in->line, here->quoted};
    while (in->p < in->end) {
        const char *line = in->p;
        const char *stop = memchr(line, '\n', (size_t)(in->end - line));
        in->p = stop ? stop + 1 : in->end;
        in->line += stop != NULL;
        while (here->tabs && line < in->p && *line == '\t')
            line++;
        size_t len = (size_t)((stop ? stop : in->end) - line);
        if (len > 0 && line[len - 1] == '\r')
            len--;
        if (len == want && memcmp(line, here->delimiter, len) == 0)
            return;
        in->body.len = (size_t)(in->p - in->body.raw);
    }
}

static void skip_heres(struct dt_lexer *in)
{
    for (size_t i = 0; i < in->here_count; i++) {
        skip_here(in, &in->heres[i]);
        free(in->heres[i].delimiter);
    }
    in->here_count = 0;
}

/* One redirection with its word. The cursor is on '<' or '>'. */
static int skip_redirection(struct dt_lexer *in)
{
    struct dt_token word;
    bool here = false, tabs = false;
    if (in->end - in->p >= 3 && memcmp(in->p, "<<<", 3) == 0) {
        in->p += 3;
    } else if (in->end - in->p >= 2 && memcmp(in->p, "<<", 2) == 0) {
        here = true;
        in->p += 2;
        tabs = in->p < in->end && *in->p == '-';
        in->p += tabs;
    } else if (in->end - in->p >= 2 && in->p[1] == '(') { /* process substitution */
        long span = span_until(in->p, in->p + 2, in->end, '(', ')', 0);
        if (span < 0)
            return wrong(in, "a bracket that begins here is not closed");
        in->line += count_lines(in->p, (size_t)span);
        in->p += span;
        return 0;
    } else {
        char first = *in->p++;
        if (in->p < in->end && (*in->p == first || *in->p == '&' || *in->p == '|' || *in->p == '>'))
            in->p++;
    }
    while (in->p < in->end && (*in->p == ' ' || *in->p == '\t'))
        in->p++;
    if (read_word(in, &word) < 0)
        return -1;
    return here ? add_here(in, &word, tabs) : 0;
}

static int arithmetic(struct dt_lexer *in, struct dt_token *token)
{
    long span = span_until(in->p, in->p + 1, in->end, '(', ')', 0);
    if (span < 0)
        return wrong(in, "'((' is not closed");
    *token = (struct dt_token){DT_TOKEN_ARITHMETIC, in->p, (size_t)span, in->line};
    in->line += count_lines(in->p, (size_t)span);
    in->p += span;
    return 0;
}

static bool looking_at(const struct dt_lexer *in, const char *text)
{
    size_t len = strlen(text);
    return (size_t)(in->end - in->p) >= len && memcmp(in->p, text, len) == 0;
}

static void operator_token(struct dt_lexer *in, struct dt_token *token)
{
    static const struct {
        const char *text;
        enum dt_token_kind kind;
    } operators[] = {
        {";;&", DT_TOKEN_CASE_END}, {";;", DT_TOKEN_CASE_END}, {";&", DT_TOKEN_CASE_END},
        {"&&", DT_TOKEN_AND_OR},    {"||", DT_TOKEN_AND_OR},   {"|&", DT_TOKEN_PIPE},
        {"|", DT_TOKEN_PIPE},       {"(", DT_TOKEN_OPEN},      {")", DT_TOKEN_CLOSE},
        {"\n", DT_TOKEN_NEWLINE},   {";", DT_TOKEN_NEWLINE},   {"&", DT_TOKEN_NEWLINE}};
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++) {
        if (!looking_at(in, operators[i].text))
            continue;
        size_t len = strlen(operators[i].text);
        *token = (struct dt_token){operators[i].kind, in->p, len, in->line};
        in->p += len;
        if (*token->raw == '\n') {
            in->line++;
            in->body.raw = NULL;
            skip_heres(in);
        }
        return;
    }
}

/* "2>" and "&>" begin a redirection too. */
static bool at_redirection(struct dt_lexer *in)
{
    const char *p = in->p;
    while (p < in->end && *p >= '0' && *p <= '9')
        p++;
    if (p == in->p && p < in->end && *p == '&' && p + 1 < in->end && p[1] == '>')
        p++;
    if (p >= in->end || (*p != '<' && *p != '>'))
        return false;
    in->p = p;
    return true;
}

int dt_lexer_next(struct dt_lexer *in, bool command, struct dt_token *token)
{
    for (;;) {
        skip_blanks(in);
        if (!at_redirection(in))
            break;
        if (skip_redirection(in) < 0)
            return -1;
    }
    *token = (struct dt_token){DT_TOKEN_END, in->p, 0, in->line};
    if (in->p >= in->end)
        return 0;
    if (*in->p == '\0')
        return wrong(in, "a NUL byte: this is no script");
    if (command && looking_at(in, "(("))
        return arithmetic(in, token);
    if (!ends_word(*in->p))
        return read_word(in, token);
    operator_token(in, token);
    return 0;
}

void dt_lexer_fini(struct dt_lexer *in)
{
    for (size_t i = 0; i < in->here_count; i++)
        free(in->heres[i].delimiter);
    free(in->heres);
}
