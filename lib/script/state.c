/* SPDX-License-Identifier: Apache-2.0 */
/* The shell's variables, and the record of what programs would get. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "script/internal.h"

size_t dt_shell_name(const char *text, size_t len)
{
    size_t i = 0;
    if (len == 0 || isdigit((unsigned char)*text))
        return 0;
    while (i < len && (isalnum((unsigned char)text[i]) || text[i] == '_'))
        i++;
    return i;
}

static int no_memory(const struct dt_shell *shell)
{
    return dt_error_set(shell->err, "no memory left for the script");
}

struct dt_shell_variable *dt_shell_find(struct dt_shell *shell, const char *name, size_t len)
{
    for (size_t i = 0; i < shell->count; i++) {
        struct dt_shell_variable *one = &shell->variables[i];
        if (strncmp(one->name, name, len) == 0 && one->name[len] == '\0')
            return one;
    }
    return NULL;
}

static struct dt_shell_variable *find_or_add(struct dt_shell *shell, const char *name, size_t len)
{
    struct dt_shell_variable *one = dt_shell_find(shell, name, len), *grown;
    if (one)
        return one;
    if (shell->count >= DT_SCRIPT_SETTINGS_MAX) {
        dt_error_set(shell->err, "more than %d variables: this is no job script",
                     DT_SCRIPT_SETTINGS_MAX);
        return NULL;
    }
    if (shell->count % 64 == 0) {
        grown = realloc(shell->variables, (shell->count + 64) * sizeof *grown);
        if (!grown) {
            no_memory(shell);
            return NULL;
        }
        shell->variables = grown;
    }
    one = &shell->variables[shell->count];
    *one = (struct dt_shell_variable){.name = strndup(name, len)};
    if (!one->name) {
        no_memory(shell);
        return NULL;
    }
    shell->count++;
    return one;
}

/* value and why: taken over; NULL value: not known, or removed. */
static int record(struct dt_shell *shell, const char *name, size_t len, char *value, char *why,
                  bool removed, bool partial, int line)
{
    struct dt_script *script = shell->script;
    struct dt_script_setting *grown;
    char *copy = strndup(name, len);
    int rc = -1;
    if (script->setting_count >= DT_SCRIPT_SETTINGS_MAX) {
        dt_error_set(shell->err, "more than %d settings: this is no job script",
                     DT_SCRIPT_SETTINGS_MAX);
        goto out;
    }
    grown = realloc(script->settings, (script->setting_count + 1) * sizeof *grown);
    if (grown)
        script->settings = grown;
    if (!grown || !copy || !why) {
        no_memory(shell);
        goto out;
    }
    grown[script->setting_count++] = (struct dt_script_setting){.name = copy,
                                                                .value = value,
                                                                .doubt = why,
                                                                .line = line,
                                                                .partial = partial,
                                                                .removed = removed};
    return 0;
out:
    free(copy);
    free(value);
    free(why);
    return rc;
}

static char *copy_or_null(const char *text)
{
    return text ? strdup(text) : NULL;
}

static int record_variable(struct dt_shell *shell, const struct dt_shell_variable *one, int line)
{
    return record(shell, one->name, strlen(one->name), copy_or_null(one->value),
                  strdup(one->doubt ? one->doubt : ""), false, shell->partial > 0, line);
}

int dt_shell_assign(struct dt_shell *shell, const char *name, size_t len,
                    struct dt_shell_value *value, bool exported, int line)
{
    struct dt_shell_variable *one = find_or_add(shell, name, len);
    if (!one)
        return -1;
    bool unknown = value->unknown;
    char *text = unknown ? NULL : dt_buf_take(&value->text);
    char *why = dt_buf_take(&value->doubt);
    if (!why || (!unknown && !text)) {
        free(text);
        free(why);
        return no_memory(shell);
    }
    if (shell->partial > 0 && !unknown && !*why) {
        free(why);
        if (asprintf(&why, "if line %d is run", line) < 0) {
            free(text);
            return no_memory(shell);
        }
    }
    free(one->value);
    free(one->doubt);
    one->value = text;
    one->doubt = why;
    one->set = true;
    one->exported |= exported || shell->export_all;
    return one->exported ? record_variable(shell, one, line) : 0;
}

int dt_shell_give(struct dt_shell *shell, const char *name, size_t len,
                  struct dt_shell_value *value, int line)
{
    return record(shell, name, len, value->unknown ? NULL : dt_buf_take(&value->text),
                  dt_buf_take(&value->doubt), false, true, line);
}

int dt_shell_export(struct dt_shell *shell, const char *name, size_t len, bool exported, int line)
{
    struct dt_shell_variable *one = dt_shell_find(shell, name, len);
    if (!one) {
        /* From outside the script: whoever submits the job has set it, or it is not there. */
        return 0;
    }
    bool was = one->exported;
    one->exported = exported;
    if (exported && one->set && !was)
        return record_variable(shell, one, line);
    if (!exported && was)
        return record(shell, name, len, NULL, strdup(""), true, shell->partial > 0, line);
    return 0;
}

int dt_shell_unset(struct dt_shell *shell, const char *name, size_t len, int line)
{
    struct dt_shell_variable *one = find_or_add(shell, name, len);
    if (!one)
        return -1;
    free(one->value);
    free(one->doubt);
    one->value = one->doubt = NULL;
    one->exported = false;
    /* In a branch nothing is certain any more, and an unknown value says so. */
    one->set = shell->partial > 0;
    if (one->set && asprintf(&one->doubt, "line %d may unset it", line) < 0) {
        one->doubt = NULL;
        return no_memory(shell);
    }
    return record(shell, name, len, NULL, strdup(""), true, shell->partial > 0, line);
}

int dt_shell_note(struct dt_shell *shell, const char *text, size_t len, int line)
{
    struct dt_script *script = shell->script;
    struct dt_script_note *grown;
    if (script->note_count >= DT_SCRIPT_SETTINGS_MAX)
        return 0; /* enough has been said */
    grown = realloc(script->notes, (script->note_count + 1) * sizeof *grown);
    if (!grown)
        return no_memory(shell);
    script->notes = grown;
    grown[script->note_count].line = line;
    grown[script->note_count].text = strndup(text, len < 200 ? len : 200);
    if (!grown[script->note_count].text)
        return no_memory(shell);
    script->note_count++;
    return 0;
}

void dt_shell_fini(struct dt_shell *shell)
{
    for (size_t i = 0; i < shell->count; i++) {
        free(shell->variables[i].name);
        free(shell->variables[i].value);
        free(shell->variables[i].doubt);
    }
    free(shell->variables);
}

void dt_script_fini(struct dt_script *script)
{
    for (size_t i = 0; i < script->setting_count; i++) {
        free(script->settings[i].name);
        free(script->settings[i].value);
        free(script->settings[i].doubt);
    }
    for (size_t i = 0; i < script->note_count; i++)
        free(script->notes[i].text);
    free(script->settings);
    free(script->notes);
    *script = (struct dt_script){0};
}
