/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a roles file; see roles.h. */
#include "roles/roles.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "roles/words.h"

#define READY_S 600.0

struct reader {
    struct dt_roles *roles;
    const char *path;
    size_t line;
    struct dt_error *err;
};

/* "FILE:LINE: ..." */
static int wrong(const struct reader *r, const char *what, const char *word, const char *wanted)
{
    return dt_error_set(r->err, "%s:%zu: %s%.80s: %s", r->path, r->line, what, word, wanted);
}

static struct dt_role *find(const struct dt_roles *roles, const char *name, size_t length)
{
    for (size_t i = 0; i < roles->count; i++) {
        if (strlen(roles->items[i].name) == length &&
            strncmp(roles->items[i].name, name, length) == 0)
            return &roles->items[i];
    }
    return NULL;
}

static bool is_name(const char *word)
{
    for (const char *at = word; *at; at++) {
        if (!isalnum((unsigned char)*at) && *at != '_' && *at != '-')
            return false;
    }
    return *word && strlen(word) <= 64;
}

static int read_count(const char *text, int *count)
{
    char *end;
    errno = 0;
    long n = strtol(text, &end, 10);
    if (errno || end == text || *end || n < 1 || n > 1 << 20)
        return -1;
    *count = (int)n;
    return 0;
}

static int read_nodes(const struct reader *r, const char *word, struct dt_role *role)
{
    int result = 0;
    if (strcmp(word, "rest") == 0) {
        role->where = DT_ROLE_REST;
    } else if (strcmp(word, "all") == 0) {
        role->where = DT_ROLE_ALL;
    } else if (strncmp(word, "first:", 6) == 0) {
        role->where = DT_ROLE_FIRST;
        result = read_count(word + 6, &role->wanted);
    } else if (strncmp(word, "last:", 5) == 0) {
        role->where = DT_ROLE_LAST;
        result = read_count(word + 5, &role->wanted);
    } else {
        role->where = DT_ROLE_NEXT;
        result = read_count(word, &role->wanted);
    }
    return result ? wrong(r, "nodes ", word, "a number, first:N, last:N, rest or all is needed")
                  : 0;
}

/* Move words[from..to) to a list of their own. */
static char **take_words(char **words, size_t from, size_t to)
{
    char **list = calloc(to - from + 1, sizeof *list);
    for (size_t i = from; list && i < to; i++) {
        list[i - from] = words[i];
        words[i] = NULL;
    }
    return list;
}

static int read_role(struct reader *r, char **words, size_t count)
{
    size_t dashes = 3;
    while (dashes < count && strcmp(words[dashes], "--") != 0)
        dashes++;
    if (count < 3 || dashes + 1 >= count)
        return wrong(r, "role ", count > 1 ? words[1] : "",
                     "role NAME NODES [OPTION...] -- PROGRAM [ARGUMENT...] is needed");
    if (!is_name(words[1]))
        return wrong(r, "role ", words[1], "a name of letters, digits, - and _ is needed");
    if (find(r->roles, words[1], strlen(words[1])))
        return wrong(r, "role ", words[1], "it is described twice");
    if (r->roles->count == DT_ROLES_MAX)
        return wrong(r, "role ", words[1], "more than 64 roles");
    struct dt_role *role = &r->roles->items[r->roles->count];
    *role = (struct dt_role){.line = r->line};
    if (read_nodes(r, words[2], role))
        return -1;
    r->roles->count++; /* from here on dt_roles_fini frees it */
    role->name = words[1];
    role->options = take_words(words, 3, dashes);
    role->program = take_words(words, dashes + 1, count);
    words[1] = NULL;
    return role->options && role->program ? 0 : dt_error_set(r->err, "out of memory");
}

static int read_ready(struct reader *r, char **words, size_t count)
{
    struct dt_role *role = count > 2 ? find(r->roles, words[1], strlen(words[1])) : NULL;
    if (count < 3 || count > 4)
        return wrong(r, "ready ", count > 1 ? words[1] : "",
                     "ready NAME tcp://HOST:PORT|http://HOST:PORT/PATH [SECONDS] is needed");
    if (!role)
        return wrong(r, "ready ", words[1], "no role above has that name");
    if (role->ready)
        return wrong(r, "ready ", words[1], "it is said twice when that role is ready");
    if (strncmp(words[2], "tcp://", 6) != 0 && strncmp(words[2], "http://", 7) != 0)
        return wrong(r, "ready ", words[2], "tcp://HOST:PORT or http://HOST:PORT/PATH is needed");
    role->ready_s = READY_S;
    if (count == 4) {
        char *end;
        role->ready_s = strtod(words[3], &end);
        if (end == words[3] || *end || !(role->ready_s > 0 && role->ready_s <= 86400))
            return wrong(r, "ready ", words[3], "a number of seconds up to 86400 is needed");
    }
    role->ready = words[2];
    words[2] = NULL;
    return 0;
}

static int read_end(struct reader *r, char **words, size_t count)
{
    const struct dt_role *role = count == 2 ? find(r->roles, words[1], strlen(words[1])) : NULL;
    if (!role)
        return wrong(r, "end ", count > 1 ? words[1] : "", "the name of one role above is needed");
    if (r->roles->end >= 0)
        return wrong(r, "end ", words[1], "only one role's end can be the job's");
    r->roles->end = (int)(role - r->roles->items);
    return 0;
}

static int read_line(struct reader *r, char **words, size_t count)
{
    if (count == 0)
        return 0;
    if (strcmp(words[0], "role") == 0)
        return read_role(r, words, count);
    if (strcmp(words[0], "ready") == 0)
        return read_ready(r, words, count);
    if (strcmp(words[0], "end") == 0)
        return read_end(r, words, count);
    return wrong(r, "", words[0], "role, ready or end is needed");
}

/* Some words of the list have moved elsewhere. */
static void free_rest(char **words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(words[i]);
    free(words);
}

int dt_roles_parse(struct dt_roles *roles, const char *text, const char *path,
                   const char *(*variable)(const char *name), struct dt_error *err)
{
    struct reader r = {.roles = roles, .path = path, .err = err};
    *roles = (struct dt_roles){.end = -1, .items = calloc(DT_ROLES_MAX, sizeof *roles->items)};
    int result = roles->items ? 0 : dt_error_set(err, "out of memory");
    for (const char *at = text; result == 0 && *at;) {
        size_t length = strcspn(at, "\n"), count;
        char **words;
        r.line++;
        result = dt_words_split(&words, &count, at, length, variable, err);
        if (result) {
            dt_error_prefix(err, "%s:%zu", path, r.line);
            break;
        }
        result = read_line(&r, words, count);
        free_rest(words, count);
        at += length + (at[length] == '\n');
    }
    if (result == 0 && roles->count == 0)
        result = dt_error_set(err, "%s describes no role: role NAME NODES -- PROGRAM", path);
    if (result)
        dt_roles_fini(roles);
    return result;
}

void dt_roles_fini(struct dt_roles *roles)
{
    for (size_t i = 0; i < roles->count; i++) {
        struct dt_role *role = &roles->items[i];
        free(role->name);
        dt_words_free(role->options);
        dt_words_free(role->program);
        free(role->ready);
        free(role->nodes);
    }
    free(roles->items);
    *roles = (struct dt_roles){.end = -1};
}
