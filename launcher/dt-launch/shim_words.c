/* SPDX-License-Identifier: Apache-2.0 */
/* A tool's command line, read as Python's argparse reads it: --name value, --name=value, the beginning of
 * a name where it is one option's alone, -x value, -xvalue; the first other word is the program. */
#include "shim_words.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"

extern char **environ;

void dt_shim_add(struct dt_shim *shim, const char *format, ...)
{
    char **grown = reallocarray(shim->argv, (size_t)shim->argc + 2, sizeof *grown);
    char *word = NULL;
    va_list args;
    va_start(args, format);
    if (vasprintf(&word, format, args) < 0)
        word = NULL;
    va_end(args);
    if (!grown || !word)
        abort(); /* some bytes, before anything is started */
    grown[shim->argc++] = word;
    grown[shim->argc] = NULL;
    shim->argv = grown;
}

/* "--nproc_per_node" and "PET_NPROC_PER_NODE" are "nproc-per-node". */
static bool is_name(const char *name, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        char c = (char)tolower((unsigned char)text[i]);
        if (!name[i] || name[i] != (c == '_' ? '-' : c))
            return false;
    }
    return true;
}

/* NULL: none, or the beginning of several. */
static const struct dt_shim_row *find_long(const struct dt_shim_tool *tool, const char *text,
                                           size_t length)
{
    const struct dt_shim_row *found = NULL;
    int several = 0;
    for (const struct dt_shim_row *row = tool->rows; row->name; row++) {
        if (!is_name(row->name, text, length))
            continue;
        if (strlen(row->name) == length)
            return row;
        found = row;
        several++;
    }
    return several == 1 ? found : NULL;
}

static const struct dt_shim_row *find_letter(const struct dt_shim_tool *tool, char letter)
{
    const struct dt_shim_row *row = tool->rows;
    while (row->name && row->letter != letter)
        row++;
    return row->name ? row : NULL;
}

const char *dt_shim_value(const struct dt_shim_line *line, const char *name)
{
    const struct dt_shim_row *row = find_long(line->tool, name, strlen(name));
    if (!row)
        return NULL;
    const char *value = line->values[row - line->tool->rows];
    char variable[64];
    if (value || !row->pet)
        return value;
    snprintf(variable, sizeof variable, "PET_%s", name);
    for (char *c = variable; *c; c++)
        *c = (char)(*c == '-' ? '_' : toupper((unsigned char)*c));
    value = getenv(variable);
    return value && *value ? value : NULL;
}

static void __attribute__((noreturn)) help(const struct dt_shim_tool *tool)
{
    printf("Usage: %s%s%s [OPTION...] PROGRAM [ARGUMENT...]\n"
           "dt-launch, called as %s: it starts PROGRAM as %s would, and does what dt-launch does "
           "besides. A command\nline with other options than these is given to the %s further "
           "down PATH.\n\n",
           tool->name, tool->command ? " " : "", tool->command ? tool->command : "", tool->name,
           tool->name, tool->name);
    for (const struct dt_shim_row *row = tool->rows; row->name; row++) {
        char option[96], letter[8] = "    ", words[48] = "VALUE";
        if (row->letter)
            snprintf(letter, sizeof letter, "-%c, ", row->letter);
        if (row->words)
            snprintf(words, sizeof words, "%s", row->words);
        for (char *c = words; *c; c++)
            *c = (char)(*c == ' ' ? '|' : *c);
        snprintf(option, sizeof option, "%s--%s%s%s", letter, row->name, row->takes ? "=" : "",
                 row->takes ? words : "");
        printf("  %-44s %s\n", option, row->doc);
    }
    printf("      %-40s this list\n", "--help");
    exit(fflush(stdout) ? EXIT_FAILURE : EXIT_SUCCESS);
}

/* One of the row's words? */
static bool is_understood(const struct dt_shim_row *row, const char *value)
{
    size_t length = strlen(value);
    for (const char *word = row->words; word && *word; word += *word == ' ') {
        size_t end = strcspn(word, " ");
        if (end == length && strncmp(word, value, end) == 0)
            return true;
        word += end;
    }
    return !row->words;
}

static int keep(struct dt_shim_line *line, const struct dt_shim_row *row, const char *value,
                struct dt_error *why)
{
    if (row - line->tool->rows >= DT_SHIM_ROWS)
        abort(); /* a build with more rows */
    if (!is_understood(row, value))
        return dt_error_set(why, "--%s %.60s is not understood here", row->name, value);
    line->values[row - line->tool->rows] = value;
    return 0;
}

/* *at is moved behind the option's value, if that is a word of its own. */
static int take_word(struct dt_shim_line *line, char ***at, struct dt_error *why)
{
    const char *word = **at, *value = NULL;
    const struct dt_shim_row *row;
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
        help(line->tool);
    if (word[1] == '-') {
        size_t length = strcspn(word + 2, "=");
        row = find_long(line->tool, word + 2, length);
        value = word[2 + length] ? word + 3 + length : NULL;
    } else {
        row = find_letter(line->tool, word[1]);
        value = word[2] ? word + 2 : NULL;
    }
    if (!row || (value && !row->takes))
        return dt_error_set(why, "%.60s is not understood here", word);
    if (row->takes && !value) {
        value = (*at)[1];
        if (!value)
            return dt_error_set(why, "%s needs a value", word);
        ++*at;
    }
    return keep(line, row, row->takes ? value : "", why);
}

/* A PET_ variable of an option that is not understood would be lost silently. */
static int check_variables(const struct dt_shim_line *line, struct dt_error *why)
{
    bool pet = false;
    for (const struct dt_shim_row *row = line->tool->rows; row->name; row++)
        pet = pet || row->pet;
    for (char **entry = environ; pet && *entry; entry++) {
        size_t length = strcspn(*entry, "=");
        if (strncmp(*entry, "PET_", 4) == 0 && (*entry)[length] && (*entry)[length + 1]) {
            const struct dt_shim_row *row = find_long(line->tool, *entry + 4, length - 4);
            if (!row || !row->pet || strlen(row->name) != length - 4 ||
                !is_understood(row, *entry + length + 1))
                return dt_error_set(why, "%.100s is not understood here", *entry);
        }
    }
    return 0;
}

int dt_shim_read(struct dt_shim_line *line, char **words, struct dt_error *why)
{
    for (; *words && (*words)[0] == '-' && (*words)[1]; words++) {
        if (strcmp(*words, "--") == 0) {
            words++;
            break;
        }
        if (take_word(line, &words, why))
            return -1;
    }
    line->program = words;
    if (!*words)
        return dt_error_set(why, "no program was given");
    if (check_variables(line, why))
        return -1;
    for (const struct dt_shim_row *row = line->tool->rows; row->name; row++) {
        const char *value = line->values[row - line->tool->rows];
        if (value && row->ours)
            dt_shim_add(line->shim, row->takes ? "--%s=%s" : "--%s", row->ours, value);
    }
    return 0;
}
