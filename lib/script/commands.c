/* SPDX-License-Identifier: Apache-2.0 */
/* What one simple command does to the environment of the programs after it, or of itself. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "script/internal.h"

struct words {
    struct dt_shell *shell;
    const struct dt_token *items;
    size_t count;
};

/* NAME=..., NAME+=... at the start of a word: length of the name, *value the offset of the value. An
 * element of an array, NAME[1]=..., has no place in an environment: *value is 0. 0: no assignment. */
static size_t assignment(const struct dt_token *word, size_t *value, bool *append)
{
    size_t len = dt_shell_name(word->raw, word->len), i = len;
    *append = false;
    *value = 0;
    if (len == 0 || i >= word->len)
        return 0;
    if (word->raw[i] == '[') {
        const char *close = memchr(word->raw, ']', word->len);
        return close && close + 1 < word->raw + word->len && (close[1] == '=' || close[1] == '+')
                   ? len
                   : 0;
    }
    if (word->raw[i] == '+' && i + 1 < word->len && word->raw[i + 1] == '=') {
        *append = true;
        i++;
    }
    if (word->raw[i] != '=')
        return 0;
    *value = i + 1;
    return len;
}

/* NAME+=VALUE: what was there comes first. */
static void prepend(struct dt_shell *shell, const struct dt_token *word, size_t len,
                    struct dt_shell_value *value)
{
    struct dt_shell_value old;
    char *name = NULL;
    if (asprintf(&name, "${%.*s}", (int)len, word->raw) < 0) {
        dt_shell_unknown(value, "no memory left");
        return;
    }
    dt_shell_expand(shell, name, strlen(name), &old);
    if (old.unknown)
        dt_shell_unknown(value, "%s", old.doubt.data);
    else if (!value->unknown) {
        if (value->text.data)
            dt_buf_puts(&old.text, value->text.data);
        struct dt_buf swap = value->text;
        value->text = old.text;
        old.text = swap;
        if (value->text.len > DT_SCRIPT_VALUE_MAX)
            dt_shell_unknown(value, "it is longer than 16 KiB");
    }
    dt_shell_value_fini(&old);
    free(name);
}

enum use { USE_VARIABLE, USE_EXPORT, USE_ONE_PROGRAM };

static int assign(struct dt_shell *shell, const struct dt_token *word, enum use use)
{
    struct dt_shell_value value;
    bool append;
    size_t at, len = assignment(word, &at, &append);
    int rc;
    if (at == 0)
        return 0;
    dt_shell_expand(shell, word->raw + at, word->len - at, &value);
    if (append)
        prepend(shell, word, len, &value);
    rc = use == USE_ONE_PROGRAM
             ? dt_shell_give(shell, word->raw, len, &value, word->line)
             : dt_shell_assign(shell, word->raw, len, &value, use == USE_EXPORT, word->line);
    dt_shell_value_fini(&value);
    return rc;
}

static int assign_unknown(struct dt_shell *shell, const struct dt_token *word, const char *why)
{
    struct dt_shell_value value = {0};
    size_t len = dt_shell_name(word->raw, word->len);
    int rc;
    if (len == 0 || len != word->len)
        return 0;
    dt_shell_unknown(&value, "%s", why);
    rc = dt_shell_assign(shell, word->raw, len, &value, false, word->line);
    dt_shell_value_fini(&value);
    return rc;
}

bool dt_word_is(const struct dt_token *word, const char *text)
{
    return strlen(text) == word->len && memcmp(word->raw, text, word->len) == 0;
}

static bool is_option(const struct dt_token *word)
{
    return word->len > 1 && (*word->raw == '-' || *word->raw == '+');
}

static bool has_letter(const struct dt_token *word, char letter)
{
    return *word->raw == '-' && word->len > 1 && word->raw[1] != '-' &&
           memchr(word->raw, letter, word->len);
}

/* export, declare, typeset, local, readonly */
static int declare(struct words *w, bool exported)
{
    bool array = false, remove = false;
    for (size_t i = 1; i < w->count; i++) {
        const struct dt_token *word = &w->items[i];
        size_t at, len;
        bool append;
        if (is_option(word)) {
            bool is_export = dt_word_is(&w->items[0], "export");
            remove |= is_export ? has_letter(word, 'n') : dt_word_is(word, "+x");
            exported |= !is_export && has_letter(word, 'x');
            array |= !is_export && (has_letter(word, 'a') || has_letter(word, 'A'));
            continue;
        }
        len = assignment(word, &at, &append);
        if (array)
            continue;
        if (len > 0 && assign(w->shell, word, exported ? USE_EXPORT : USE_VARIABLE) < 0)
            return -1;
        if (len == 0)
            len = dt_shell_name(word->raw, word->len) == word->len ? word->len : 0;
        if (len > 0 && (remove || exported) &&
            dt_shell_export(w->shell, word->raw, len, !remove, word->line) < 0)
            return -1;
    }
    return 0;
}

static int command_export(struct words *w)
{
    return declare(w, true);
}

static int command_declare(struct words *w)
{
    return declare(w, false);
}

static int command_unset(struct words *w)
{
    for (size_t i = 1; i < w->count; i++) {
        const struct dt_token *word = &w->items[i];
        size_t len = dt_shell_name(word->raw, word->len);
        if (has_letter(word, 'f'))
            return 0;
        if (len > 0 && len == word->len && dt_shell_unset(w->shell, word->raw, len, word->line) < 0)
            return -1;
    }
    return 0;
}

static int command_set(struct words *w)
{
    for (size_t i = 1; i < w->count && is_option(&w->items[i]); i++) {
        const struct dt_token *word = &w->items[i];
        bool long_form = (dt_word_is(word, "-o") || dt_word_is(word, "+o")) && i + 1 < w->count &&
                         dt_word_is(&w->items[i + 1], "allexport");
        if (dt_word_is(word, "--"))
            break;
        if (long_form || memchr(word->raw, 'a', word->len))
            w->shell->export_all = *word->raw == '-';
        i += dt_word_is(word, "-o") || dt_word_is(word, "+o");
    }
    return 0;
}

static int command_read(struct words *w)
{
    for (size_t i = 1; i < w->count; i++)
        if (assign_unknown(w->shell, &w->items[i], "it is read while the script runs") < 0)
            return -1;
    return 0;
}

static int command_printf(struct words *w)
{
    if (w->count > 2 && dt_word_is(&w->items[1], "-v"))
        return assign_unknown(w->shell, &w->items[2], "it is made by printf");
    return 0;
}

static int command_stop(struct words *w)
{
    if (w->shell->partial == 0)
        w->shell->stopped = true;
    return 0;
}

/* What is not followed: files and programs that change the shell itself. */
static int command_foreign(struct words *w)
{
    const struct dt_token *first = &w->items[0], *last = &w->items[w->count - 1];
    return dt_shell_note(w->shell, first->raw, (size_t)(last->raw + last->len - first->raw),
                         first->line);
}

int dt_shell_export_literal(struct dt_shell *shell, const char *list, size_t len, int line)
{
    char *plain = calloc(1, len + 1), *rest = plain, *item;
    size_t used = 0;
    int rc = plain ? 0 : dt_error_set(shell->err, "no memory left for the script");
    for (size_t i = 0; plain && i < len; i++)
        if (list[i] != '"' && list[i] != '\'')
            plain[used++] = list[i];
    while (rc == 0 && (item = strsep(&rest, ","))) {
        struct dt_token word = {DT_TOKEN_WORD, item, strlen(item), line};
        struct dt_shell_value value = {0};
        size_t at, name;
        bool append;
        name = assignment(&word, &at, &append);
        if (at == 0 || append)
            continue;
        dt_buf_puts(&value.text, item + at);
        rc = dt_shell_assign(shell, item, name, &value, true, line);
        dt_shell_value_fini(&value);
    }
    free(plain);
    return rc;
}

/* A value that is not known still has its name, where that stands in front of what is expanded. */
static int give_unknown(struct dt_shell *shell, const struct dt_token *word,
                        struct dt_shell_value *value)
{
    size_t quote = word->len > 0 && (*word->raw == '"' || *word->raw == '\'');
    size_t len = dt_shell_name(word->raw + quote, word->len - quote);
    if (len == 0 || quote + len >= word->len || word->raw[quote + len] != '=')
        return 0;
    return dt_shell_give(shell, word->raw + quote, len, value, word->line);
}

int dt_shell_give_word(struct dt_shell *shell, const struct dt_token *word)
{
    struct dt_shell_value value;
    int rc = 0;
    dt_shell_expand(shell, word->raw, word->len, &value);
    const char *text = value.text.data ? value.text.data : "";
    size_t len = dt_shell_name(text, value.text.len);
    if (value.unknown) {
        rc = give_unknown(shell, word, &value);
    } else if (len > 0 && text[len] == '=') {
        struct dt_shell_value own = {0};
        dt_buf_puts(&own.text, text + len + 1);
        if (value.doubt.data)
            dt_buf_puts(&own.doubt, value.doubt.data);
        rc = dt_shell_give(shell, text, len, &own, word->line);
        dt_shell_value_fini(&own);
    }
    dt_shell_value_fini(&value);
    return rc;
}

int dt_shell_give_list(struct dt_shell *shell, const struct dt_token *list)
{
    /* A quoted list is read without its quotes; one with expansions inside piece by piece. */
    char *plain = dt_shell_plain(list->raw, list->len);
    const char *p = plain ? plain : list->raw, *end = p + (plain ? strlen(plain) : list->len);
    int rc = 0;
    while (rc == 0 && p < end) {
        const char *comma = memchr(p, ',', (size_t)(end - p)), *stop = comma ? comma : end;
        struct dt_token word = {DT_TOKEN_WORD, p, (size_t)(stop - p), list->line};
        struct dt_shell_value value = {0};
        size_t at, len;
        bool append;
        len = assignment(&word, &at, &append);
        if (!plain) {
            rc = dt_shell_give_word(shell, &word);
        } else if (at > 0 && !append) {
            dt_buf_append(&value.text, p + at, word.len - at);
            rc = dt_shell_give(shell, p, len, &value, list->line);
            dt_shell_value_fini(&value);
        }
        p = comma ? comma + 1 : end;
    }
    free(plain);
    return rc;
}

/* env "NAME=$VALUE" */
static bool is_quoted_assignment(const struct dt_token *word)
{
    size_t len =
        word->len > 0 && *word->raw == '"' ? dt_shell_name(word->raw + 1, word->len - 1) : 0;
    return len > 0 && len + 1 < word->len && word->raw[len + 1] == '=';
}

/* env NAME=VALUE program ... */
static int command_env(struct words *w)
{
    size_t i = 1, at;
    bool append;
    for (; i < w->count; i++) {
        const struct dt_token *word = &w->items[i];
        if (dt_word_is(word, "-u") || dt_word_is(word, "-C"))
            i++;
        else if (assignment(word, &at, &append) > 0 || is_quoted_assignment(word)) {
            if (dt_shell_give_word(w->shell, word) < 0)
                return -1;
        } else if (!is_option(word) && !dt_word_is(word, "-"))
            break;
    }
    return i < w->count ? dt_shell_command(w->shell, w->items + i, w->count - i) : 0;
}

/* `exec program` is the last that happens; `exec 2>log` is nothing. */
static int command_exec(struct words *w)
{
    if (w->count < 2)
        return 0;
    if (dt_shell_command(w->shell, w->items + 1, w->count - 1) < 0)
        return -1;
    return command_stop(w);
}

/* command, builtin, nohup, time: the command is behind. */
static int command_prefix(struct words *w)
{
    size_t i = 1;
    while (i < w->count && is_option(&w->items[i]))
        i++;
    return i < w->count ? dt_shell_command(w->shell, w->items + i, w->count - i) : 0;
}

/* `: ${NAME:=WORD}`, the usual way to give a default. */
static int give_default(struct dt_shell *shell, const struct dt_token *word)
{
    bool quoted = word->len > 1 && *word->raw == '"' && word->raw[word->len - 1] == '"';
    const char *p = word->raw + quoted, *end = word->raw + word->len - quoted;
    const struct dt_shell_variable *old;
    struct dt_shell_value value;
    size_t len;
    bool colon;
    int rc;
    if (end - p < 2 || p[0] != '$' || p[1] != '{' || dt_script_span(p, end, 0) != end - p)
        return 0;
    p += 2;
    len = dt_shell_name(p, (size_t)(end - p));
    colon = p[len] == ':';
    if (len == 0 || p[len + colon] != '=')
        return 0;
    old = dt_shell_find(shell, p, len);
    if (old && old->set && !(colon && old->value && !*old->value))
        return 0;
    dt_shell_expand(shell, word->raw, word->len, &value);
    rc = dt_shell_assign(shell, p, len, &value, false, word->line);
    dt_shell_value_fini(&value);
    return rc;
}

static int command_colon(struct words *w)
{
    for (size_t i = 1; i < w->count; i++)
        if (give_default(w->shell, &w->items[i]) < 0)
            return -1;
    return 0;
}

static const struct {
    const char *name;
    int (*run)(struct words *w);
} commands[] = {
    {"export", command_export},  {"declare", command_declare},  {"typeset", command_declare},
    {"local", command_declare},  {"readonly", command_declare}, {"unset", command_unset},
    {"set", command_set},        {"read", command_read},        {"mapfile", command_read},
    {"readarray", command_read}, {"getopts", command_read},     {"printf", command_printf},
    {"exit", command_stop},      {"source", command_foreign},   {".", command_foreign},
    {"eval", command_foreign},   {"module", command_foreign},   {"ml", command_foreign},
    {"conda", command_foreign},  {"spack", command_foreign},    {"env", command_env},
    {"sudo", command_env},       {"exec", command_exec},        {"command", command_prefix},
    {"builtin", command_prefix}, {"nohup", command_prefix},     {"time", command_prefix},
    {"!", command_prefix},       {":", command_colon},
};

/* /usr/bin/env, /opt/amazon/openmpi/bin/mpirun */
struct dt_token dt_word_base(const struct dt_token *word)
{
    const char *slash = memrchr(word->raw, '/', word->len);
    struct dt_token base = *word;
    if (slash) {
        base.raw = slash + 1;
        base.len = (size_t)(word->raw + word->len - slash - 1);
    }
    return base;
}

int dt_shell_command(struct dt_shell *shell, const struct dt_token *words, size_t count)
{
    struct words w = {shell, words, count};
    size_t first = 0, at;
    bool append;
    while (first < count && assignment(&words[first], &at, &append) > 0)
        first++;
    for (size_t i = 0; i < first; i++)
        if (assign(shell, &words[i], first < count ? USE_ONE_PROGRAM : USE_VARIABLE) < 0)
            return -1;
    if (first == count)
        return 0;
    w.items += first;
    w.count -= first;
    struct dt_token base = dt_word_base(&w.items[0]);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (dt_word_is(&base, commands[i].name))
            return commands[i].run(&w);
    return dt_shell_launch(shell, w.items, w.count);
}
