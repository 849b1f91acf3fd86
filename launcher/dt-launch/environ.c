/* SPDX-License-Identifier: Apache-2.0 */
/* An environment block that can be changed without touching the process's own. */
#include "environ.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

static void append(struct dt_environ *env, char *item)
{
    if (item && env->count + 1 >= env->capacity) {
        size_t capacity = env->capacity ? env->capacity * 2 : 64;
        char **items = realloc(env->items, capacity * sizeof *items);
        if (items) {
            env->items = items;
            env->capacity = capacity;
        }
    }
    if (!item || env->count + 1 >= env->capacity) {
        free(item);
        env->failed = true;
        return;
    }
    env->items[env->count++] = item;
    env->items[env->count] = NULL;
}

void dt_environ_init(struct dt_environ *env, char *const *from)
{
    *env = (struct dt_environ){0};
    for (; *from && !env->failed; from++)
        append(env, strdup(*from));
}

void dt_environ_fini(struct dt_environ *env)
{
    for (size_t i = 0; i < env->count; i++)
        free(env->items[i]);
    free(env->items);
    *env = (struct dt_environ){0};
}

static char **find(const struct dt_environ *env, const char *name)
{
    size_t length = strlen(name);
    for (size_t i = 0; i < env->count; i++) {
        if (strncmp(env->items[i], name, length) == 0 && env->items[i][length] == '=')
            return &env->items[i];
    }
    return NULL;
}

const char *dt_environ_get(const struct dt_environ *env, const char *name)
{
    char **item = find(env, name);
    return item ? *item + strlen(name) + 1 : NULL;
}

static void set(struct dt_environ *env, const char *name, const char *format, va_list args)
{
    struct dt_buf text = DT_BUF_INIT;
    char value[64];
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(value, sizeof value, format, args);
    dt_buf_printf(&text, "%s=", name);
    if (length >= 0 && (size_t)length < sizeof value) {
        dt_buf_puts(&text, value);
    } else if (length >= 0) {
        char *long_value = malloc((size_t)length + 1);
        if (long_value)
            vsnprintf(long_value, (size_t)length + 1, format, again);
        dt_buf_puts(&text, long_value ? long_value : "");
        text.failed = text.failed || !long_value;
        free(long_value);
    }
    va_end(again);
    char *item = dt_buf_take(&text);
    char **slot = find(env, name);
    if (!item) {
        env->failed = true;
    } else if (slot) {
        free(*slot);
        *slot = item;
    } else {
        append(env, item);
    }
}

void dt_environ_set(struct dt_environ *env, const char *name, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    set(env, name, format, args);
    va_end(args);
}

void dt_environ_default(struct dt_environ *env, const char *name, const char *format, ...)
{
    const char *value = dt_environ_get(env, name);
    if (value && *value)
        return;
    va_list args;
    va_start(args, format);
    set(env, name, format, args);
    va_end(args);
}

void dt_environ_unset(struct dt_environ *env, const char *name)
{
    char **slot = find(env, name);
    if (!slot)
        return;
    free(*slot);
    for (; *slot; slot++)
        slot[0] = slot[1];
    env->count--;
}

void dt_environ_unset_prefix(struct dt_environ *env, const char *prefix)
{
    size_t kept = 0;
    for (size_t i = 0; i < env->count; i++) {
        if (strncmp(env->items[i], prefix, strlen(prefix)) == 0)
            free(env->items[i]);
        else
            env->items[kept++] = env->items[i];
    }
    env->count = kept;
    if (env->items)
        env->items[kept] = NULL;
}
