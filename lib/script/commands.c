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

static bool word_is(const struct dt_token *word, const char *text)
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
            bool is_export = word_is(&w->items[0], "export");
            remove |= is_export ? has_letter(word, 'n') : word_is(word, "+x");
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
        bool long_form = (word_is(word, "-o") || word_is(word, "+o")) && i + 1 < w->count &&
                         word_is(&w->items[i + 1], "allexport");
        if (word_is(word, "--"))
            break;
        if (long_form || memchr(word->raw, 'a', word->len))
            w->shell->export_all = *word->raw == '-';
        i += word_is(word, "-o") || word_is(word, "+o");
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
    if (w->count > 2 && word_is(&w->items[1], "-v"))
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

int dt_shell_export_list(struct dt_shell *shell, const char *list, size_t len, bool one_program,
                         int line)
{
    const char *end = list + len;
    while (list < end) {
        const char *comma = memchr(list, ',', (size_t)(end - list)), *stop = comma ? comma : end;
        struct dt_token word = {DT_TOKEN_WORD, list, (size_t)(stop - list), line};
        bool append;
        size_t at;
        if (assignment(&word, &at, &append) > 0 &&
            assign(shell, &word, one_program ? USE_ONE_PROGRAM : USE_EXPORT) < 0)
            return -1;
        list = comma ? comma + 1 : end;
    }
    return 0;
}

/* srun, sbatch, salloc: --export=ALL,NAME=VALUE */
static int command_slurm(struct words *w)
{
    static const char option[] = "--export";
    for (size_t i = 1; i < w->count; i++) {
        const struct dt_token *word = &w->items[i];
        const char *list = NULL;
        size_t len = 0, skip = sizeof option - 1;
        if (!word->raw || word->len < skip || memcmp(word->raw, option, skip) != 0)
            continue;
        if (word->len > skip && word->raw[skip] == '=') {
            list = word->raw + skip + 1;
            len = word->len - skip - 1;
        } else if (word->len == skip && i + 1 < w->count) {
            list = w->items[i + 1].raw;
            len = w->items[i + 1].len;
        }
        /* A quoted list is read without its quotes; one with expansions inside piece by piece. */
        char *plain = list ? dt_shell_plain(list, len) : NULL;
        int rc = 0;
        if (plain)
            rc = dt_shell_export_list(w->shell, plain, strlen(plain), true, word->line);
        else if (list)
            rc = dt_shell_export_list(w->shell, list, len, true, word->line);
        free(plain);
        if (rc < 0)
            return -1;
    }
    return 0;
}

/* mpirun -x NAME=VALUE */
static int command_mpirun(struct words *w)
{
    for (size_t i = 1; i + 1 < w->count; i++)
        if (word_is(&w->items[i], "-x") && assign(w->shell, &w->items[++i], USE_ONE_PROGRAM) < 0)
            return -1;
    return 0;
}

/* env NAME=VALUE program ... */
static int command_env(struct words *w)
{
    size_t i = 1, at;
    bool append;
    for (; i < w->count; i++) {
        const struct dt_token *word = &w->items[i];
        if (word_is(word, "-u") || word_is(word, "-C"))
            i++;
        else if (assignment(word, &at, &append) > 0) {
            if (assign(w->shell, word, USE_ONE_PROGRAM) < 0)
                return -1;
        } else if (!is_option(word) && !word_is(word, "-"))
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
    {"conda", command_foreign},  {"spack", command_foreign},    {"srun", command_slurm},
    {"sbatch", command_slurm},   {"salloc", command_slurm},     {"mpirun", command_mpirun},
    {"mpiexec", command_mpirun}, {"orterun", command_mpirun},   {"env", command_env},
    {"exec", command_exec},      {"command", command_prefix},   {"builtin", command_prefix},
    {"nohup", command_prefix},   {"time", command_prefix},      {"!", command_prefix},
};

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
    const struct dt_token *name = &w.items[0];
    const char *slash = memrchr(name->raw, '/', name->len);
    struct dt_token base = *name;
    if (slash) { /* /usr/bin/env, /opt/amazon/openmpi/bin/mpirun */
        base.raw = slash + 1;
        base.len = (size_t)(name->raw + name->len - slash - 1);
    }
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (word_is(&base, commands[i].name))
            return commands[i].run(&w);
    return 0;
}
