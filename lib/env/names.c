/* SPDX-License-Identifier: Apache-2.0 */
/* The names of variables that rules speak of, numbered, so that a rank's environment is gone through
 * once and not once a rule. */
#include <stdlib.h>
#include <string.h>

#include "env/internal.h"

#define NAMES_MAX 4096

static uint32_t hash(const char *name, size_t len)
{
    uint32_t h = 2166136261u;

    for (size_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)name[i]) * 16777619u;
    return h;
}

static uint16_t *slot_of(const struct dt_env_names *names, const char *name, size_t len)
{
    size_t mask = names->slot_count - 1;

    for (size_t i = hash(name, len) & mask;; i = (i + 1) & mask) {
        uint16_t entry = names->slots[i];
        if (entry == 0 ||
            (!strncmp(names->items[entry - 1], name, len) && !names->items[entry - 1][len]))
            return &names->slots[i];
    }
}

static int grow(struct dt_env_names *names)
{
    size_t slot_count = names->slot_count ? names->slot_count * 2 : 512;
    uint16_t *slots = calloc(slot_count, sizeof(*slots));
    char **items = realloc(names->items, slot_count / 2 * sizeof(*items));

    if (items)
        names->items = items;
    if (!slots || !items) {
        free(slots);
        return -1;
    }
    free(names->slots);
    names->slots = slots;
    names->slot_count = slot_count;
    names->room = slot_count / 2;
    for (size_t i = 0; i < names->count; i++)
        *slot_of(names, names->items[i], strlen(names->items[i])) = (uint16_t)(i + 1);
    return 0;
}

uint16_t dt_env_names_find(const struct dt_env_names *names, const char *name, size_t len)
{
    uint16_t entry = names->slot_count ? *slot_of(names, name, len) : 0;

    return entry ? (uint16_t)(entry - 1) : DT_ENV_NO_NAME;
}

uint16_t dt_env_names_add(struct dt_env_names *names, const char *name, size_t len)
{
    uint16_t found = dt_env_names_find(names, name, len);

    if (found != DT_ENV_NO_NAME)
        return found;
    if (names->count == NAMES_MAX || (names->count == names->room && grow(names)))
        return DT_ENV_NO_NAME;
    if (!(names->items[names->count] = strndup(name, len)))
        return DT_ENV_NO_NAME;
    *slot_of(names, name, len) = (uint16_t)++names->count;
    return (uint16_t)(names->count - 1);
}

void dt_env_names_fini(struct dt_env_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->items[i]);
    free(names->items);
    free(names->slots);
    *names = (struct dt_env_names){0};
}
