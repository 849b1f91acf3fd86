/* SPDX-License-Identifier: Apache-2.0 */
/* What the job will really load: the copies of the libraries that its own environment leads to, in
 * place of those in the usual places, and the files that its variables name in vain. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/exitcode.h"
#include "subject.h"
#include "user.h"
#include "versions/versions.h"
#include "with.h"

static bool same_name(const char *a, const char *b)
{
    size_t len = strcspn(a, "=");
    return strncmp(a, b, len) == 0 && b[len] == '=';
}

/* A job script's values over the present environment, from which Slurm hands on the rest. What is
 * not known is left out: it can not lead anywhere. Strings are borrowed; the array is freed. */
static char **job_environment(char *const *script, char *const *present)
{
    size_t count = 0, used = 0;
    for (char *const *e = script; *e; e++)
        count++;
    for (char *const *e = present; e && *e; e++)
        count++;
    char **list = calloc(count + 1, sizeof *list);
    for (char *const *e = script; list && *e; e++)
        if (!strstr(*e, "=" DT_ENV_VALUE_UNKNOWN))
            list[used++] = *e;
    size_t own = used;
    for (char *const *e = present; list && e && *e; e++) {
        bool over = false;
        for (size_t i = 0; i < own && !over; i++)
            over = same_name(list[i], *e);
        if (!over)
            list[used++] = *e;
    }
    return list;
}

static int find_versions(struct subject *subject, char *const *env, struct dt_error *err)
{
    struct dt_versions versions;
    char *cwd = subject->root.fake ? NULL : getcwd(NULL, 0);
    struct dt_versions_request request = {.root = &subject->root, .env = env, .cwd = cwd};
    int rc = dt_versions_detect(&versions, &request, err);
    if (rc == 0) {
        rc = dt_versions_to_facts(&versions, &subject->facts, err);
        dt_versions_fini(&versions);
    }
    free(cwd);
    return rc;
}

/* Paths of one value; what the loader would expand is not followed. */
static int find_missing(const struct subject *subject, const char *value, json_t *missing)
{
    int rc = 0;
    for (size_t len; *value && rc == 0; value += len + (value[len] != '\0')) {
        len = strcspn(value, ":, ");
        if (*value != '/' || memchr(value, '$', len) || len > 4096 ||
            dt_root_exists(&subject->root, "%.*s", (int)len - 1, value + 1))
            continue;
        json_t *path = json_stringn(value, len); /* NULL where it is no UTF-8: in no list */
        rc = path ? json_array_append_new(missing, path) : 0;
    }
    return rc;
}

static int look_for_files(struct subject *subject, const struct user *user, struct dt_error *err)
{
    static const char *const names[] = {"LD_PRELOAD", "NCCL_TOPO_FILE", "NCCL_TUNER_PLUGIN",
                                        "NCCL_NET_PLUGIN"};
    json_t *missing = json_array();
    int rc = missing ? 0 : -1;
    for (size_t i = 0; i < user->count && rc == 0; i++)
        for (size_t n = 0; n < sizeof names / sizeof *names && rc == 0; n++)
            if (user->items[i].value && strcmp(user->items[i].name, names[n]) == 0)
                rc = find_missing(subject, user->items[i].value, missing);
    if (missing && json_object_set_new(subject->facts.doc, "files.missing", missing) < 0)
        rc = -1;
    return rc < 0 ? dt_error_set(err, "out of memory") : 0;
}

int subject_versions(struct subject *subject, const struct subject_options *options,
                     char *const *env, struct dt_error *err)
{
    if (!subject->stated && find_versions(subject, env, err) < 0)
        return DT_EXIT_HELPER;
    return with_apply(&subject->facts, options->with, err) < 0 ? DT_EXIT_USAGE : 0;
}

int subject_script_versions(struct subject *subject, const struct subject_options *options,
                            const struct user *user, char *const *present, struct dt_error *err)
{
    char **script = user_environment(user, NULL);
    char **env = script ? job_environment(script, present) : NULL;
    int code = DT_EXIT_HELPER;
    if (env)
        code = subject_versions(subject, options, env, err);
    else
        dt_error_set(err, "out of memory");
    free(env);
    if (script)
        dt_names_free(script);
    return code;
}

int subject_files(struct subject *subject, const struct user *user, struct dt_error *err)
{
    if (subject->stated)
        return 0;
    return look_for_files(subject, user, err) < 0 ? DT_EXIT_HELPER : 0;
}
