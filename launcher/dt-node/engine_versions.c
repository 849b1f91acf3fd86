/* SPDX-License-Identifier: Apache-2.0 */
/* The rules are to judge what the job will load: where its environment leads to libraries of its own
 * (LD_LIBRARY_PATH, a virtual or conda environment, another python), their versions take the place
 * of those in the usual places. They are looked for by the child that has become the user, behind
 * NCCL's files and within its deadline: "V ?" says that it has begun, "V {...}" what it found. */
#include <stdlib.h>
#include <string.h>

#include "engine.h"
#include "facts/probe.h"
#include "versions/versions.h"

#define BEGUN "V ?\n"
#define FOUND "V "

static const char *const keys[] = {"lib.libfabric", "lib.rdma_core", "lib.nccl",  "lib.ofi_nccl",
                                   "lib.cuda",      "lib.torch",     "lib.neuron"};
#define KEY_COUNT (sizeof keys / sizeof *keys)

/* ---- in the child ------------------------------------------------------------------------------ */

static bool has_usual_python(const struct dt_root *root, const char *folder, size_t len,
                             bool *is_there)
{
    static const char *const usual[] = {"/usr/bin", "/bin", "/usr/local/bin", "/usr/sbin", "/sbin"};
    const char *below = folder + 1;
    *is_there = *folder == '/' && (dt_root_exists(root, "%.*s/python3", (int)len - 1, below) ||
                                   dt_root_exists(root, "%.*s/python", (int)len - 1, below));
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
        if (strlen(usual[i]) == len && strncmp(usual[i], folder, len) == 0)
            return true;
    return false;
}

/* The python that PATH leads to is not the distribution's. */
static bool has_own_python(const struct engine *e)
{
    const char *path = engine_job_value(e, "PATH");
    for (size_t len; path && *path; path += len + (path[len] == ':')) {
        bool is_there;
        len = strcspn(path, ":");
        bool usual = has_usual_python(&e->root, path, len, &is_there);
        if (is_there)
            return !usual;
    }
    return false;
}

static bool names_elsewhere(const struct engine *e)
{
    static const char *const names[] = {"LD_LIBRARY_PATH", "LD_PRELOAD", "VIRTUAL_ENV",
                                        "CONDA_PREFIX"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *value = engine_job_value(e, names[i]);
        if (value && *value)
            return true;
    }
    return false;
}

/* A key with "": what the usual places hold stands; one that is missing: another copy is loaded,
 * whose version is not known. */
static json_t *find(const struct engine *e)
{
    struct dt_versions_request request = {
        .root = &e->root, .env = e->job_env, .cwd = e->nccl_asked.request->cwd};
    struct dt_facts found = {.doc = json_object()};
    struct dt_versions versions;
    struct dt_error err;
    int rc = 0;
    for (size_t i = 0; i < KEY_COUNT && rc == 0; i++)
        rc = dt_facts_set_string(&found, keys[i], "");
    if (rc == 0 && dt_versions_detect(&versions, &request, &err) == 0) {
        rc = dt_versions_to_facts(&versions, &found, &err);
        dt_versions_fini(&versions);
        if (rc == 0)
            return found.doc;
    }
    json_decref(found.doc);
    return NULL;
}

void engine_versions_ask(int out, const struct engine *e)
{
    /* It costs some milliseconds and reads what may lie on the network: only where it can matter. */
    if (!names_elsewhere(e) && !has_own_python(e))
        return;
    dt_probe_say(out, BEGUN);
    json_t *found = find(e);
    char *text = found ? json_dumps(found, JSON_COMPACT) : NULL;
    if (text) {
        dt_probe_say(out, FOUND);
        dt_probe_say(out, text);
        dt_probe_say(out, "\n");
    }
    free(text);
    json_decref(found);
}

/* ---- in the parent ----------------------------------------------------------------------------- */

static const char *line_after(const char *text, const char *line)
{
    size_t len = strlen(line);
    while (text && *text) {
        if (strncmp(text, line, len) == 0)
            return text + len;
        text = strchr(text, '\n');
        text += text != NULL;
    }
    return NULL;
}

bool engine_versions_begun(const struct engine *e)
{
    return line_after(e->question.answer, BEGUN) != NULL;
}

/* It comes from a process of the user's: a version, and no more. */
static bool is_version(const char *text)
{
    static const char parts[] = "0123456789.abcdefghijklmnopqrstuvwxyz"
                                "ABCDEFGHIJKLMNOPQRSTUVWXYZ-+~_";
    return strspn(text, parts) == strlen(text) && strlen(text) < 64;
}

static int take(struct engine *e, const json_t *found)
{
    for (size_t i = 0; i < KEY_COUNT; i++) {
        const char *version = json_string_value(json_object_get(found, keys[i]));
        if (!version)
            json_object_del(e->facts.doc, keys[i]);
        else if (*version && is_version(version) &&
                 dt_facts_set_string(&e->facts, keys[i], version) < 0)
            return -1;
    }
    return 0;
}

int engine_versions_take(struct engine *e, struct dt_error *err)
{
    const char *text = line_after(e->question.answer, BEGUN);
    bool late = e->question.state != DT_QUESTION_ANSWERED && names_elsewhere(e);
    json_t *found = NULL;
    if (!text && !late)
        return 0;
    /* Not begun for want of time, or not ended: which copies are loaded is not known, nor their
     * versions. */
    if (text && strncmp(text, FOUND, strlen(FOUND)) == 0)
        found = json_loads(text + strlen(FOUND), JSON_DISABLE_EOF_CHECK, NULL);
    int rc = take(e, found);
    json_decref(found);
    return rc < 0 ? dt_error_set(err, "out of memory") : 0;
}
