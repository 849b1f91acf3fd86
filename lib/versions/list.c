/* SPDX-License-Identifier: Apache-2.0 */
/* A growable list of texts. */
#include "versions/list.h"

#include <stdlib.h>
#include <string.h>

int dt_list_take(struct dt_list *list, char *text)
{
    if (!text)
        return -1;
    /* Grown by doubling: the capacity is the next power of two, and need not be kept. */
    if ((list->count & (list->count - 1)) == 0) {
        size_t capacity = list->count ? list->count * 2 : 1;
        char **more = realloc(list->items, capacity * sizeof *more);
        if (!more) {
            free(text);
            return -1;
        }
        list->items = more;
    }
    list->items[list->count++] = text;
    return 0;
}

int dt_list_add(struct dt_list *list, const char *text, size_t len)
{
    return dt_list_take(list, strndup(text, len));
}

bool dt_list_has(const struct dt_list *list, const char *text)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->items[i], text) == 0)
            return true;
    }
    return false;
}

void dt_list_fini(struct dt_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
    *list = (struct dt_list){0};
}
