/* SPDX-License-Identifier: Apache-2.0 */
/* What NCCL's configuration files say, put together with an environment. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nccl/internal.h"

static int no_memory(struct dt_error *err)
{
    return dt_error_set(err, "no memory left for NCCL's configuration files");
}

static bool is_there(const struct dt_nccl_settings *settings, const char *name)
{
    for (size_t i = 0; i < settings->count; i++)
        if (strcmp(settings->items[i].name, name) == 0)
            return true;
    return false;
}

int dt_nccl_add(struct dt_nccl_settings *settings, const char *file, int line, const char *name,
                const char *value, struct dt_error *err)
{
    struct dt_nccl_setting *grown, *item;
    if (!*name || is_there(settings, name)) /* setenv(3) refuses "", and keeps what is there */
        return 0;
    grown = realloc(settings->items, (settings->count + 1) * sizeof *grown);
    if (!grown)
        return no_memory(err);
    settings->items = grown;
    item = &grown[settings->count++];
    *item = (struct dt_nccl_setting){strdup(name), strdup(value), strdup(file), line};
    return item->name && item->value && item->file ? 0 : no_memory(err);
}

int dt_nccl_trouble(struct dt_nccl_settings *settings, const char *file, const char *why,
                    struct dt_error *err)
{
    size_t count = 0;
    char **grown, *text;
    while (settings->troubles && settings->troubles[count])
        count++;
    grown = realloc(settings->troubles, (count + 2) * sizeof *grown);
    if (!grown)
        return no_memory(err);
    settings->troubles = grown;
    grown[count] = NULL;
    if (asprintf(&text, "%s: %s", file, why) < 0)
        return no_memory(err);
    grown[count] = text;
    grown[count + 1] = NULL;
    return 0;
}

static char *cut(const char *text, size_t len)
{
    return strndup(text, len < DT_NCCL_CUT ? len : DT_NCCL_CUT);
}

static int parse_line(struct dt_nccl_settings *settings, const char *file, int number,
                      const char *line, size_t len, struct dt_error *err)
{
    size_t stop = strnlen(line, len); /* NCCL works on C strings */
    const char *equals = *line == '#' ? NULL : memchr(line, '=', stop);
    char *name, *value;
    int rc;
    if (!equals)
        return 0;
    name = cut(line, (size_t)(equals - line));
    value = cut(equals + 1, stop - (size_t)(equals - line) - 1);
    rc = name && value ? dt_nccl_add(settings, file, number, name, value, err) : no_memory(err);
    free(name);
    free(value);
    return rc;
}

int dt_nccl_conf_parse(struct dt_nccl_settings *settings, const char *file, const char *text,
                       size_t len, struct dt_error *err)
{
    int number = 1;
    for (size_t at = 0; at < len; number++) {
        const char *newline = memchr(text + at, '\n', len - at);
        size_t length = newline ? (size_t)(newline - text) - at : len - at;
        if (length > 0 && parse_line(settings, file, number, text + at, length, err) < 0)
            return -1;
        if (settings->count >= DT_NCCL_SETTINGS_MAX)
            return dt_error_set(err, "%s has more than %d settings", file, DT_NCCL_SETTINGS_MAX);
        at += length + 1;
    }
    return 0;
}

void dt_nccl_settings_fini(struct dt_nccl_settings *settings)
{
    for (size_t i = 0; i < settings->count; i++) {
        free(settings->items[i].name);
        free(settings->items[i].value);
        free(settings->items[i].file);
    }
    for (char **one = settings->troubles; one && *one; one++)
        free(*one);
    free(settings->items);
    free(settings->troubles);
    *settings = (struct dt_nccl_settings){0};
}

static bool has_name(char *const *environment, const char *name)
{
    size_t len = strlen(name);
    for (; environment && *environment; environment++)
        if (strncmp(*environment, name, len) == 0 && (*environment)[len] == '=')
            return true;
    return false;
}

char **dt_nccl_environ(char *const *user_env, const struct dt_nccl_settings *settings)
{
    size_t own = 0, used;
    char **list;
    while (user_env && user_env[own])
        own++;
    list = calloc(own + settings->count + 1, sizeof *list);
    if (!list)
        return NULL;
    for (used = 0; used < own; used++)
        list[used] = user_env[used];
    for (size_t i = 0; i < settings->count; i++) {
        const struct dt_nccl_setting *item = &settings->items[i];
        if (has_name(user_env, item->name))
            continue;
        if (asprintf(&list[used], "%s=%s", item->name, item->value) < 0) {
            list[used] = NULL;
            dt_nccl_environ_free(list, user_env);
            return NULL;
        }
        used++;
    }
    return list;
}

void dt_nccl_environ_free(char **list, char *const *user_env)
{
    size_t own = 0;
    while (user_env && user_env[own])
        own++;
    for (size_t i = own; list && list[i]; i++)
        free(list[i]);
    free(list);
}
