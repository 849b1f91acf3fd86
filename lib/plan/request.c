/* SPDX-License-Identifier: Apache-2.0 */
/* The plugin's request: one function per line, a table of them, and the rules that hold over all.
 */
#include "plan/plan.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "plan/lines.h"

struct parser {
    struct dt_request *request;
    size_t environ_count, environ_cap;
    unsigned seen; /* bit i: keys[i] was there */
};

static int bad(const struct dt_line *line, struct dt_error *err, const char *want)
{
    return dt_error_set(err,
                        "line %zu of the plugin's request: '%s' has a bad value; expected '%s'",
                        line->number, line->words[0], want);
}

static bool take_int(const char *word, long long low, long long high, int *value)
{
    long long parsed;
    if (!dt_lines_number(word, low, high, &parsed))
        return false;
    *value = (int)parsed;
    return true;
}

static bool take_text(char *word, char **text)
{
    if (!word || !*word || dt_word_decode(word) < 0)
        return false;
    free(*text);
    *text = strdup(word);
    return *text != NULL;
}

static bool is_word(const struct dt_line *line, size_t i, const char *expected)
{
    return i < line->count && strcmp(line->words[i], expected) == 0;
}

static bool take_version(struct parser *p, struct dt_line *line)
{
    (void)p;
    return line->count == 2 && is_word(line, 1, "1");
}

static bool take_job(struct parser *p, struct dt_line *line)
{
    return line->count == 4 && is_word(line, 2, "step") &&
           dt_lines_number(line->words[1], 0, UINT32_MAX, &p->request->job) &&
           dt_lines_number(line->words[3], 0, UINT32_MAX, &p->request->step);
}

static bool take_node(struct parser *p, struct dt_line *line)
{
    struct dt_request *r = p->request;
    return line->count == 6 && is_word(line, 2, "id") && is_word(line, 4, "of") &&
           take_text(line->words[1], &r->node_name) &&
           take_int(line->words[5], 1, 65536, &r->node_count) &&
           take_int(line->words[3], 0, r->node_count - 1, &r->node_id);
}

static bool take_het(struct parser *p, struct dt_line *line)
{
    struct dt_request *r = p->request;
    return line->count == 4 && is_word(line, 2, "of") &&
           take_int(line->words[3], 1, 1024, &r->het_size) &&
           take_int(line->words[1], 0, r->het_size - 1, &r->het_group);
}

static bool take_tasks(struct parser *p, struct dt_line *line)
{
    struct dt_request *r = p->request;
    return line->count == 7 && is_word(line, 1, "local") && is_word(line, 3, "total") &&
           is_word(line, 5, "first") && take_int(line->words[2], 1, 65536, &r->local_tasks) &&
           take_int(line->words[4], r->local_tasks, INT_MAX, &r->total_tasks) &&
           take_int(line->words[6], 0, r->total_tasks - 1, &r->first_rank);
}

/* "ranks 0,4,8": kept as it comes; how many there must be is checked at the end. */
static bool take_ranks(struct parser *p, struct dt_line *line)
{
    if (line->count != 2)
        return false;
    size_t count = 1;
    for (const char *c = line->words[1]; *c; c++)
        count += *c == ',';
    int *ranks = calloc(count + 1, sizeof *ranks);
    if (!ranks)
        return false;
    free(p->request->ranks);
    p->request->ranks = ranks;
    char *rest = line->words[1], *word;
    for (size_t i = 0; (word = strsep(&rest, ",")); i++) {
        if (!take_int(word, 0, INT_MAX - 1, &ranks[i]))
            return false;
    }
    ranks[count] = -1;
    return true;
}

static bool take_groups(struct dt_request *r, char *text)
{
    char *rest = text, *word;
    while ((word = strsep(&rest, ","))) {
        long long id;
        gid_t *more = realloc(r->groups, (r->group_count + 1) * sizeof *more);
        if (!more)
            return false;
        r->groups = more;
        if (!dt_lines_number(word, 0, UINT32_MAX - 1, &id))
            return false;
        r->groups[r->group_count++] = (gid_t)id;
    }
    return true;
}

static bool take_user(struct parser *p, struct dt_line *line)
{
    long long uid, gid;
    if (line->count < 3 || line->count > 4 ||
        !dt_lines_number(line->words[1], 0, UINT32_MAX - 1, &uid) ||
        !dt_lines_number(line->words[2], 0, UINT32_MAX - 1, &gid))
        return false;
    p->request->uid = (uid_t)uid;
    p->request->gid = (gid_t)gid;
    return line->count == 3 || !*line->words[3] || take_groups(p->request, line->words[3]);
}

static bool take_cwd(struct parser *p, struct dt_line *line)
{
    return line->count == 2 && take_text(line->words[1], &p->request->cwd);
}

static bool take_validate(struct parser *p, struct dt_line *line)
{
    return line->count == 2 && take_text(line->words[1], &p->request->validate);
}

static bool take_env(struct parser *p, struct dt_line *line)
{
    return line->count == 2 && take_text(line->words[1], &p->request->env);
}

static bool take_bind(struct parser *p, struct dt_line *line)
{
    return line->count == 2 && take_text(line->words[1], &p->request->bind);
}

static bool take_nic(struct parser *p, struct dt_line *line)
{
    return line->count == 2 &&
           (is_word(line, 1, "plan") || is_word(line, 1, "narrow") || is_word(line, 1, "off")) &&
           take_text(line->words[1], &p->request->nic);
}

/* "bound cpus --cpu-bind=cores"; "bound - -": nobody binds anything. */
static bool take_bound(struct parser *p, struct dt_line *line)
{
    struct dt_request *r = p->request;
    if (line->count != 3)
        return false;
    r->bound_known = true;
    if (is_word(line, 1, "-"))
        return true;
    char **who = is_word(line, 1, "cpus")      ? &r->cpus_bound
                 : is_word(line, 1, "gpus")    ? &r->gpus_bound
                 : is_word(line, 1, "memory")  ? &r->memory_bound
                 : is_word(line, 1, "program") ? &r->program_binds
                                               : NULL;
    return who && take_text(line->words[2], who);
}

static bool take_on_fail(struct parser *p, struct dt_line *line)
{
    return line->count == 2 && (is_word(line, 1, "abort") || is_word(line, 1, "warn")) &&
           take_text(line->words[1], &p->request->on_fail);
}

static bool take_timeout(struct parser *p, struct dt_line *line)
{
    if (line->count != 2 || !*line->words[1])
        return false;
    char *end;
    double seconds = strtod(line->words[1], &end);
    if (*end || !isfinite(seconds) || seconds <= 0 || seconds > 86400)
        return false;
    p->request->timeout_s = seconds;
    return true;
}

static bool take_port(struct parser *p, struct dt_line *line)
{
    return line->count == 2 && take_int(line->words[1], 0, 65535, &p->request->port);
}

static bool take_rendezvous(struct parser *p, struct dt_line *line)
{
    return line->count == 2 && take_text(line->words[1], &p->request->rendezvous);
}

static bool take_limits(struct parser *p, struct dt_line *line)
{
    return line->count == 3 &&
           dt_lines_number(line->words[1], -2, LLONG_MAX, &p->request->memlock) &&
           dt_lines_number(line->words[2], -2, LLONG_MAX, &p->request->nofile);
}

static bool take_environ(struct parser *p, struct dt_line *line)
{
    char *text = NULL;
    if (line->count != 2 || !take_text(line->words[1], &text))
        return false;
    if (p->environ_count + 2 > p->environ_cap) {
        size_t cap = p->environ_cap ? p->environ_cap * 2 : 64;
        char **more = realloc(p->request->environ, cap * sizeof *more);
        if (!more) {
            free(text);
            return false;
        }
        p->request->environ = more;
        p->environ_cap = cap;
    }
    p->request->environ[p->environ_count++] = text;
    p->request->environ[p->environ_count] = NULL;
    return true;
}

static const struct key {
    const char *name;
    const char *form;
    bool needed, repeats;
    bool (*take)(struct parser *parser, struct dt_line *line);
} keys[] = {
    {"dt-request", "dt-request 1", true, false, take_version},
    {"job", "job ID step ID", true, false, take_job},
    {"node", "node NAME id K of N", true, false, take_node},
    {"het", "het G of H", false, false, take_het},
    {"tasks", "tasks local L total T first R", true, false, take_tasks},
    {"ranks", "ranks R,R,...", false, false, take_ranks},
    {"user", "user UID GID GID,GID,...", true, false, take_user},
    {"cwd", "cwd DIRECTORY", false, false, take_cwd},
    {"validate", "validate LEVEL", true, false, take_validate},
    {"env", "env MODE", true, false, take_env},
    {"bind", "bind MODE", true, false, take_bind},
    {"nic", "nic plan|narrow|off", false, false, take_nic},
    {"bound", "bound cpus|gpus|memory|program WHO", false, true, take_bound},
    {"on-fail", "on-fail abort|warn", true, false, take_on_fail},
    {"timeout", "timeout SECONDS", true, false, take_timeout},
    {"port", "port 0-65535", false, false, take_port},
    {"rendezvous", "rendezvous TEXT", false, false, take_rendezvous},
    {"limits", "limits MEMLOCK NOFILE", false, false, take_limits},
    {"environ", "environ NAME=VALUE", false, true, take_environ},
};
#define KEY_COUNT (sizeof keys / sizeof *keys)

static int take_line(struct parser *p, struct dt_line *line, struct dt_error *err)
{
    if (line->number == 1 && strcmp(line->words[0], "dt-request") != 0)
        return dt_error_set(err, "this is no request of dt's plugin: it does not begin with "
                                 "'dt-request 1'");
    for (size_t i = 0; i < KEY_COUNT; i++) {
        if (strcmp(line->words[0], keys[i].name) != 0)
            continue;
        if ((p->seen & 1u << i) && !keys[i].repeats)
            return dt_error_set(err, "line %zu of the plugin's request: a second '%s'",
                                line->number, keys[i].name);
        p->seen |= 1u << i;
        return keys[i].take(p, line) ? 0 : bad(line, err, keys[i].form);
    }
    return dt_error_set(err,
                        "line %zu of the plugin's request: '%s' is not known; plugin and dt-node "
                        "are of different versions, install both from one build",
                        line->number, line->words[0]);
}

static int fill_ranks(struct dt_request *r, struct dt_error *err)
{
    if (!r->ranks) {
        r->ranks = calloc((size_t)r->local_tasks, sizeof *r->ranks);
        if (!r->ranks)
            return dt_error_set(err, "out of memory");
        for (int i = 0; i < r->local_tasks; i++)
            r->ranks[i] = r->first_rank + i;
        return 0;
    }
    int count = 0;
    while (r->ranks[count] >= 0)
        count++;
    if (count != r->local_tasks)
        return dt_error_set(err, "the plugin's request lists %d ranks for %d local tasks", count,
                            r->local_tasks);
    return 0;
}

static int finish(struct parser *p, struct dt_error *err)
{
    struct dt_request *r = p->request;
    for (size_t i = 0; i < KEY_COUNT; i++) {
        if (keys[i].needed && !(p->seen & 1u << i))
            return dt_error_set(err, "the plugin's request has no '%s' line", keys[i].form);
    }
    if (!r->environ) {
        r->environ = calloc(1, sizeof *r->environ);
        if (!r->environ)
            return dt_error_set(err, "out of memory");
    }
    return fill_ranks(r, err);
}

static int parse(struct dt_request *request, char *text, size_t len, struct dt_error *err)
{
    *request = (struct dt_request){.het_group = -1, .memlock = -2, .nofile = -2};
    struct parser parser = {.request = request};
    struct dt_lines lines;
    struct dt_line line;
    dt_lines_init(&lines, text, len);
    int rc;
    while ((rc = dt_lines_next(&lines, &line, err)) == 1) {
        rc = take_line(&parser, &line, err);
        if (rc < 0)
            break;
    }
    if (rc == 0)
        rc = finish(&parser, err);
    if (rc < 0)
        dt_request_fini(request);
    return rc;
}

int dt_request_parse(struct dt_request *request, const char *text, size_t len, struct dt_error *err)
{
    *request = (struct dt_request){.het_group = -1};
    char *copy = malloc(len + 1);
    if (!copy)
        return dt_error_set(err, "out of memory");
    if (len)
        memcpy(copy, text, len);
    int rc = parse(request, copy, len, err);
    free(copy);
    return rc;
}

int dt_request_read(struct dt_request *request, int fd, struct dt_error *err)
{
    struct dt_buf text = DT_BUF_INIT;
    *request = (struct dt_request){.het_group = -1};
    int rc = dt_lines_read(&text, fd, err);
    if (rc == 1)
        rc = dt_error_set(err, "the plugin closed the pipe without a request");
    if (rc == 0)
        rc = parse(request, text.data, text.len, err);
    dt_buf_fini(&text);
    return rc;
}

void dt_request_fini(struct dt_request *request)
{
    free(request->node_name);
    free(request->ranks);
    free(request->groups);
    free(request->cwd);
    free(request->validate);
    free(request->env);
    free(request->bind);
    free(request->on_fail);
    free(request->nic);
    free(request->cpus_bound);
    free(request->gpus_bound);
    free(request->memory_bound);
    free(request->program_binds);
    free(request->rendezvous);
    for (char **e = request->environ; e && *e; e++)
        free(*e);
    free(request->environ);
    *request = (struct dt_request){.het_group = -1};
}

const char *dt_request_getenv(const struct dt_request *request, const char *name)
{
    size_t n = strlen(name);
    for (char **e = request->environ; e && *e; e++) {
        if (strncmp(*e, name, n) == 0 && (*e)[n] == '=')
            return *e + n + 1;
    }
    return NULL;
}
