/* SPDX-License-Identifier: Apache-2.0 */
/* Which nodes a role has, and words that name them; see roles.h. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "roles/roles.h"

/* ---- nodes --------------------------------------------------------------------------------- */

static int give(struct dt_role *role, int node)
{
    int *grown = reallocarray(role->nodes, (size_t)role->node_count + 1, sizeof *grown);
    if (!grown)
        return -1;
    role->nodes = grown;
    grown[role->node_count++] = node;
    return 0;
}

/* The `wanted` next nodes without a role, or all of them (wanted < 0). */
static int give_free(struct dt_role *role, bool *taken, int count, int wanted)
{
    for (int node = 0; node < count && role->node_count != wanted; node++) {
        if (taken[node])
            continue;
        taken[node] = true;
        if (give(role, node))
            return -1;
    }
    return 0;
}

static int give_range(struct dt_role *role, bool *taken, int from, int to)
{
    for (int node = from; node < to; node++) {
        taken[node] = true;
        if (give(role, node))
            return -1;
    }
    return 0;
}

static int place(struct dt_role *role, bool *taken, int count)
{
    switch (role->where) {
    case DT_ROLE_FIRST:
        return role->wanted > count ? 0 : give_range(role, taken, 0, role->wanted);
    case DT_ROLE_LAST:
        return role->wanted > count ? 0 : give_range(role, taken, count - role->wanted, count);
    case DT_ROLE_ALL:
        return give_range(role, taken, 0, count);
    case DT_ROLE_NEXT:
        return give_free(role, taken, count, role->wanted);
    default:
        return give_free(role, taken, count, -1);
    }
}

static bool is_early(enum dt_role_where where)
{
    return where == DT_ROLE_FIRST || where == DT_ROLE_LAST;
}

/* first: and last: are settled before the others, so that `rest` may stand above them. */
static int place_all(struct dt_roles *roles, bool *taken, int count, const char *path,
                     struct dt_error *err)
{
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < roles->count; i++) {
            struct dt_role *role = &roles->items[i];
            if (is_early(role->where) != (round == 0))
                continue;
            if (place(role, taken, count))
                return dt_error_set(err, "out of memory");
            if (role->node_count < (role->wanted ? role->wanted : 1))
                return dt_error_set(
                    err,
                    "%s:%zu: role %s wants %d node%s and %d of %d are left: ask for "
                    "more nodes",
                    path, role->line, role->name, role->wanted ? role->wanted : 1,
                    role->wanted > 1 ? "s" : "", role->node_count, count);
        }
    }
    for (int node = 0; node < count; node++) {
        if (!taken[node])
            return dt_error_set(
                err,
                "%s gives node %d of %d no role: ask for fewer nodes, or let a role "
                "have the rest",
                path, node, count);
    }
    return 0;
}

int dt_roles_place(struct dt_roles *roles, int count, const char *path, struct dt_error *err)
{
    bool *taken = calloc((size_t)count, sizeof *taken);
    int result =
        taken ? place_all(roles, taken, count, path, err) : dt_error_set(err, "out of memory");
    free(taken);
    return result;
}

int dt_role_index(const struct dt_role *role, int node)
{
    for (int i = 0; i < role->node_count; i++) {
        if (role->nodes[i] == node)
            return i;
    }
    return -1;
}

/* ---- words --------------------------------------------------------------------------------- */

/* "NAME.K" or "NAME.count" of `length`; 0: it is none, and stays as it is; -1: err. */
static int put_reference(const struct dt_roles *roles, const char *text, size_t length,
                         char *const *names, struct dt_buf *word, struct dt_error *err)
{
    const char *dot = memrchr(text, '.', length);
    const struct dt_role *role = NULL;
    for (size_t i = 0; dot && i < roles->count; i++) {
        size_t name = strlen(roles->items[i].name);
        if (name == (size_t)(dot - text) && strncmp(roles->items[i].name, text, name) == 0)
            role = &roles->items[i];
    }
    if (!role)
        return 0;
    size_t rest = length - (size_t)(dot + 1 - text);
    if (rest == 5 && strncmp(dot + 1, "count", 5) == 0) {
        dt_buf_printf(word, "%d", role->node_count);
        return 1;
    }
    char *end;
    long index = strtol(dot + 1, &end, 10);
    if (rest == 0 || end != text + length || index < 0 || index >= role->node_count)
        return dt_error_set(err, "@%.*s@: role %s has nodes 0 to %d, and .count", (int)length, text,
                            role->name, role->node_count - 1);
    if (!names[role->nodes[index]])
        return dt_error_set(
            err,
            "@%.*s@: the name of node %d is not known on this platform (under Slurm "
            "it is)",
            (int)length, text, role->nodes[index]);
    dt_buf_puts(word, names[role->nodes[index]]);
    return 1;
}

char *dt_roles_expand(const struct dt_roles *roles, const char *text, char *const *names,
                      const char *path, struct dt_error *err)
{
    struct dt_buf word = DT_BUF_INIT;
    for (const char *at = text; *at;) {
        const char *end = *at == '@' ? strchr(at + 1, '@') : NULL;
        int found =
            end ? put_reference(roles, at + 1, (size_t)(end - at - 1), names, &word, err) : 0;
        if (found < 0) {
            dt_error_prefix(err, "%s", path);
            dt_buf_fini(&word);
            return NULL;
        }
        if (found > 0) {
            at = end + 1;
            continue;
        }
        dt_buf_append(&word, at++, 1);
    }
    char *taken = dt_buf_take(&word);
    if (!taken)
        dt_error_set(err, "out of memory");
    return taken;
}
