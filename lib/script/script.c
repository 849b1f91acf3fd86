/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a job script: is it one, what do its #SBATCH lines say, and then its commands. */
#include "script/script.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "script/internal.h"

#define TEXT_MAX (1u << 20)

static size_t line_length(const char *p, const char *end)
{
    const char *newline = memchr(p, '\n', (size_t)(end - p));
    return newline ? (size_t)(newline - p) : (size_t)(end - p);
}

/* "#!/usr/bin/env bash -l": the interpreter must be a Bourne shell. A file without "#!" is taken for
 * one that a script sources. */
static int check_interpreter(const char *text, size_t len, struct dt_error *err)
{
    static const char *const shells[] = {"sh", "bash", "dash", "ksh", "zsh", NULL};
    char *line, *rest, *word;
    int rc = -1;
    if (len < 2 || memcmp(text, "#!", 2) != 0)
        return 0;
    line = rest = strndup(text + 2, line_length(text + 2, text + len));
    while ((word = strsep(&rest, " \t\r"))) {
        const char *base = strrchr(word, '/') ? strrchr(word, '/') + 1 : word;
        if (!*base || strcmp(base, "env") == 0 || *base == '-')
            continue;
        for (size_t i = 0; shells[i] && rc < 0; i++)
            rc = strcmp(base, shells[i]) == 0 ? 0 : -1;
        if (rc < 0)
            dt_error_set(err, "line 1: '%.80s' is no shell; only scripts of sh and bash are read",
                         word);
        break;
    }
    if (!word)
        dt_error_set(err, "line 1: '#!' without an interpreter");
    free(line);
    return rc;
}

/* One word of an #SBATCH line; quotes keep blanks inside. */
static size_t word_length(const char *p, const char *end)
{
    const char *begin = p;
    char quote = '\0';
    for (; p < end && (quote || !isspace((unsigned char)*p)); p++) {
        if (quote ? *p == quote : *p == '"' || *p == '\'')
            quote = quote ? '\0' : *p;
    }
    return (size_t)(p - begin);
}

/* The value of --export in one #SBATCH line: "--export=LIST" or "--export LIST". */
static int sbatch_line(struct dt_shell *shell, const char *p, const char *end, int line)
{
    static const char option[] = "--export";
    const size_t skip = sizeof option - 1;
    bool next = false;
    while (p < end) {
        while (p < end && isspace((unsigned char)*p))
            p++;
        size_t len = word_length(p, end);
        if (len == 0 || *p == '#')
            return 0;
        if (next)
            return dt_shell_export_literal(shell, p, len, line);
        if (len > skip && memcmp(p, option, skip) == 0 && p[skip] == '=')
            return dt_shell_export_literal(shell, p + skip + 1, len - skip - 1, line);
        next = len == skip && memcmp(p, option, skip) == 0;
        p += len;
    }
    return 0;
}

/* They stand before the first command. */
static int sbatch_lines(struct dt_shell *shell, const char *text, size_t len)
{
    static const char mark[] = "#SBATCH";
    const char *end = text + len;
    for (int line = 1; text < end; line++) {
        size_t length = line_length(text, end), skip = sizeof mark - 1;
        size_t blanks = 0;
        while (blanks < length && isspace((unsigned char)text[blanks]))
            blanks++;
        if (blanks < length && text[blanks] != '#')
            return 0;
        if (length > skip && memcmp(text, mark, skip) == 0 &&
            sbatch_line(shell, text + skip, text + length, line) < 0)
            return -1;
        text += length;
        text += text < end;
    }
    return 0;
}

int dt_script_read(struct dt_script *script, const char *text, size_t len, struct dt_error *err)
{
    struct dt_shell shell = {.script = script, .err = err};
    int rc = -1;
    *script = (struct dt_script){0};
    if (len > TEXT_MAX)
        dt_error_set(err, "it is longer than 1 MiB: this is no job script");
    else if (memchr(text, '\0', len))
        dt_error_set(err, "it has NUL bytes: this is no script");
    else if (check_interpreter(text, len, err) == 0 && sbatch_lines(&shell, text, len) == 0)
        rc = dt_shell_run(&shell, text, len, 1);
    dt_shell_fini(&shell);
    if (rc < 0)
        dt_script_fini(script);
    return rc;
}
