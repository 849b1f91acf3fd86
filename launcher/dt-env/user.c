/* SPDX-License-Identifier: Apache-2.0 */
/* Gathering the user's variables. */
#include "user.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nccl/nccl.h"
#include "script/script.h"

static int no_memory(struct dt_error *err)
{
    return dt_error_set(err, "out of memory");
}

/* Takes origin over. value NULL: not known. */
static int add(struct user *user, const char *name, size_t len, const char *value, char *origin,
               const char *doubt, bool partial, struct dt_error *err)
{
    if (user->count % 64 == 0) {
        struct user_setting *grown = realloc(user->items, (user->count + 64) * sizeof *grown);
        if (!grown) {
            free(origin);
            return no_memory(err);
        }
        user->items = grown;
    }
    struct user_setting *item = &user->items[user->count++];
    *item = (struct user_setting){.name = strndup(name, len),
                                  .value = value ? strdup(value) : NULL,
                                  .origin = origin,
                                  .doubt = strdup(doubt),
                                  .partial = partial};
    return item->name && (item->value || !value) && origin && item->doubt ? 0 : no_memory(err);
}

/* Takes the text over. */
static int add_note(struct user *user, char *text, struct dt_error *err)
{
    char **grown = text ? realloc(user->notes, (user->note_count + 2) * sizeof *grown) : NULL;
    if (!grown) {
        free(text);
        return no_memory(err);
    }
    user->notes = grown;
    grown[user->note_count++] = text;
    grown[user->note_count] = NULL;
    return 0;
}

static char *text_of(const char *format, ...) __attribute__((format(printf, 1, 2)));
static char *text_of(const char *format, ...)
{
    char *text;
    va_list args;
    va_start(args, format);
    int n = vasprintf(&text, format, args);
    va_end(args);
    return n < 0 ? NULL : text;
}

static bool in_list(const char *list, const char *name, size_t len)
{
    while (list && *list) {
        size_t here = strcspn(list, ",");
        if (here == len && strncmp(list, name, len) == 0)
            return true;
        list += here + (list[here] == ',');
    }
    return false;
}

static int add_environ(struct user *user, char *const *environment, struct dt_error *err)
{
    const char *applied = getenv("DT_ENV_APPLIED");
    for (; environment && *environment; environment++) {
        const char *equals = strchr(*environment, '=');
        size_t len = equals ? (size_t)(equals - *environment) : 0;
        if (len == 0 || in_list(applied, *environment, len))
            continue;
        if (add(user, *environment, len, equals + 1, strdup(""), "", false, err) < 0)
            return -1;
    }
    return 0;
}

static int add_nccl(struct user *user, const struct dt_nccl_settings *settings,
                    struct dt_error *err)
{
    for (size_t i = 0; i < settings->count; i++) {
        const struct dt_nccl_setting *item = &settings->items[i];
        if (user_find(user, item->name))
            continue;
        if (add(user, item->name, strlen(item->name), item->value,
                text_of("%s:%d", item->file, item->line), "", false, err) < 0)
            return -1;
    }
    for (char **trouble = settings->troubles; trouble && *trouble; trouble++)
        if (add_note(user, text_of("%s", *trouble), err) < 0)
            return -1;
    return 0;
}

int user_from_environ(struct user *user, char *const *environment, const struct subject *subject,
                      struct dt_error *err)
{
    struct dt_nccl_settings settings;
    const char *nccl = NULL;
    char *cwd = getcwd(NULL, 0);
    struct dt_facts_request request = subject_request(subject, cwd);
    int rc;
    *user = (struct user){0};
    dt_facts_string(&subject->facts, "lib.nccl", &nccl);
    rc = add_environ(user, environment, err);
    if (rc == 0)
        rc = dt_nccl_conf_read(&settings, &request, getenv("NCCL_CONF_FILE"), nccl, err);
    if (rc == 0) {
        rc = add_nccl(user, &settings, err);
        dt_nccl_settings_fini(&settings);
    }
    free(cwd);
    return rc;
}

static int read_all(int fd, char *text, size_t room, size_t *len)
{
    ssize_t n = 1;
    while (n > 0 && *len < room) {
        n = read(fd, text + *len, room - *len);
        if (n < 0 && errno == EINTR)
            n = 1;
        else
            *len += n > 0 ? (size_t)n : 0;
    }
    return n < 0 ? -1 : 0;
}

/* The 1 MiB that the reader takes, and one byte more, so that it says what is wrong. "-": standard
 * input. Caller frees. */
static char *read_script(const char *path, size_t *len, struct dt_error *err)
{
    enum { ROOM = (1 << 20) + 1 };
    bool named = strcmp(path, "-") != 0;
    int fd = named ? open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY) : STDIN_FILENO;
    char *text = fd < 0 ? NULL : malloc(ROOM);
    *len = 0;
    if (fd < 0 || (text && read_all(fd, text, ROOM, len) < 0)) {
        dt_error_set(err, "%s: %s", path, strerror(errno));
        free(text);
        text = NULL;
    } else if (!text) {
        no_memory(err);
    }
    if (named && fd >= 0)
        close(fd);
    return text;
}

/* What was set before is gone. */
static void forget(struct user *user, const char *name)
{
    size_t kept = 0;
    for (size_t i = 0; i < user->count; i++) {
        struct user_setting *item = &user->items[i];
        if (strcmp(item->name, name) != 0) {
            user->items[kept++] = *item;
            continue;
        }
        free(item->name);
        free(item->value);
        free(item->origin);
        free(item->doubt);
    }
    user->count = kept;
}

static int add_script(struct user *user, const struct dt_script *script, struct dt_error *err)
{
    for (size_t i = 0; i < script->setting_count; i++) {
        const struct dt_script_setting *s = &script->settings[i];
        if (!s->partial)
            forget(user, s->name);
        if (s->removed)
            continue;
        char *branch = text_of("if line %d is run", s->line);
        bool own = branch && strcmp(s->doubt, branch) == 0;
        char *origin = own ? branch : text_of("line %d", s->line);
        if (!own)
            free(branch);
        if (add(user, s->name, strlen(s->name), s->value, origin, own ? "" : s->doubt, s->partial,
                err) < 0)
            return -1;
    }
    for (size_t i = 0; i < script->note_count; i++)
        if (add_note(user,
                     text_of("line %d: %s: what it sets is not known", script->notes[i].line,
                             script->notes[i].text),
                     err) < 0)
            return -1;
    return 0;
}

int user_from_script(struct user *user, const char *path, struct dt_error *err)
{
    struct dt_script script;
    size_t len;
    char *text = read_script(path, &len, err);
    int rc;
    *user = (struct user){0};
    if (!text)
        return -1;
    rc = dt_script_read(&script, text, len, err);
    free(text);
    if (rc < 0)
        return dt_error_prefix(err, "%s", path);
    rc = add_script(user, &script, err);
    dt_script_fini(&script);
    return rc;
}

void user_fini(struct user *user)
{
    for (size_t i = 0; i < user->count; i++) {
        free(user->items[i].name);
        free(user->items[i].value);
        free(user->items[i].origin);
        free(user->items[i].doubt);
    }
    for (size_t i = 0; i < user->note_count; i++)
        free(user->notes[i]);
    free(user->items);
    free(user->notes);
    *user = (struct user){0};
}

/* The last one that all programs get; else the last possibility. */
const struct user_setting *user_find(const struct user *user, const char *name)
{
    const struct user_setting *found = NULL;
    for (size_t i = 0; i < user->count; i++) {
        const struct user_setting *item = &user->items[i];
        if (strcmp(item->name, name) == 0 && (!found || found->partial || !item->partial))
            found = item;
    }
    return found;
}

char **user_environment(const struct user *user, const struct user_setting *chosen)
{
    char **list = calloc(user->count + 1, sizeof *list);
    size_t used = 0;
    for (size_t i = 0; list && i < user->count; i++) {
        const struct user_setting *item = &user->items[i];
        bool same = chosen && strcmp(chosen->name, item->name) == 0;
        if (same ? item != chosen : user_find(user, item->name) != item)
            continue;
        list[used] = text_of("%s=%s", item->name, item->value ? item->value : DT_ENV_VALUE_UNKNOWN);
        if (!list[used++]) {
            dt_names_free(list);
            return NULL;
        }
    }
    return list;
}
