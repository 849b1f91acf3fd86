/* SPDX-License-Identifier: Apache-2.0 */
/* Sorting nodes into groups of equal value. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/hostlist.h"
#include "compare/values.h"

struct entry {
    const char *value;
    size_t node;
};

static int by_value(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (!x->value || !y->value)
        return x->value ? -1 : y->value ? 1 : x->node < y->node ? -1 : 1;
    int order = strcmp(x->value, y->value);
    return order ? order : x->node < y->node ? -1 : 1;
}

/* Largest first; nodes without a value last. */
static int by_size(const void *a, const void *b)
{
    const struct dt_group *x = a, *y = b;
    if (!x->value || !y->value)
        return x->value ? -1 : 1;
    if (x->count != y->count)
        return x->count > y->count ? -1 : 1;
    return x->members[0] < y->members[0] ? -1 : 1;
}

static void cut_into_groups(struct dt_groups *groups, const struct entry *entries, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct entry *entry = &entries[i];
        struct dt_group *group = groups->count ? &groups->items[groups->count - 1] : NULL;
        bool same =
            group && ((!group->value && !entry->value) ||
                      (group->value && entry->value && !strcmp(group->value, entry->value)));
        if (!same) {
            group = &groups->items[groups->count++];
            *group = (struct dt_group){.value = entry->value, .members = groups->storage + i};
        }
        groups->storage[i] = entry->node;
        group->count++;
        groups->total += entry->value != NULL;
    }
}

int dt_group(struct dt_groups *groups, const struct dt_comparison *comparison,
             const size_t *members, size_t count,
             char *(*value)(const struct dt_facts *facts, const void *argument),
             const void *argument)
{
    *groups = (struct dt_groups){0};
    struct entry *entries = calloc(count + 1, sizeof *entries);
    groups->items = calloc(count + 1, sizeof *groups->items);
    groups->storage = calloc(count + 1, sizeof *groups->storage);
    groups->values = calloc(count + 1, sizeof *groups->values);
    if (!entries || !groups->items || !groups->storage || !groups->values) {
        free(entries);
        dt_groups_fini(groups);
        return -1;
    }
    /* values[] has gaps for nodes without one, so its end is not marked: keep it dense. */
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        char *text = value(comparison->nodes[members[i]].facts, argument);
        entries[i] = (struct entry){.value = text, .node = members[i]};
        if (text)
            groups->values[used++] = text;
    }
    qsort(entries, count, sizeof *entries, by_value);
    cut_into_groups(groups, entries, count);
    qsort(groups->items, groups->count, sizeof *groups->items, by_size);
    free(entries);
    return 0;
}

void dt_groups_fini(struct dt_groups *groups)
{
    for (char **value = groups->values; value && *value; value++)
        free(*value);
    free(groups->values);
    free(groups->items);
    free(groups->storage);
    *groups = (struct dt_groups){0};
}

char *dt_compare_names(const struct dt_comparison *comparison, const size_t *members, size_t count)
{
    char **names = calloc(count + 1, sizeof *names);
    if (!names)
        return NULL;
    for (size_t i = 0; i < count; i++)
        names[i] = (char *)comparison->nodes[members[i]].name;
    char *text = dt_hostlist_compress(names, count);
    free(names);
    return text;
}

char *dt_groups_text(const struct dt_groups *groups, const struct dt_comparison *comparison)
{
    enum { NAMED = 4 };
    struct dt_buf buf = DT_BUF_INIT;
    size_t with_value = 0;
    for (size_t i = 0; i < groups->count; i++)
        with_value += groups->items[i].value != NULL;
    for (size_t i = 0; i < with_value && i < NAMED; i++) {
        const struct dt_group *group = &groups->items[i];
        char *names = dt_compare_names(comparison, group->members, group->count);
        dt_buf_printf(&buf, "%s%s on %s", i ? ", " : "", group->value, names ? names : "?");
        free(names);
    }
    if (with_value > NAMED)
        dt_buf_printf(&buf, ", and %zu more values", with_value - NAMED);
    return dt_buf_take(&buf);
}
