/* SPDX-License-Identifier: Apache-2.0 */
/* dt-facts.json of a tree, laid over what was read there. */
#include "facts/overlay.h"

#include <errno.h>
#include <string.h>

#define NAME "dt-facts.json"

/* Nulls are taken out of `over`, and out of the facts what they name. */
static void take_away(struct dt_facts *facts, json_t *over)
{
    const char *key;
    json_t *value;
    void *next;
    json_object_foreach_safe(over, next, key, value)
    {
        if (!json_is_null(value))
            continue;
        json_object_del(facts->doc, key);
        json_object_del(over, key);
    }
}

/* NULL with an empty sentence: there is none. */
static json_t *load(const struct dt_root *root, struct dt_error *err)
{
    char text[65536];
    json_error_t problem;
    err->text[0] = '\0';
    ssize_t n = root->fake ? dt_root_read(root, text, sizeof text, NAME) : -ENOENT;
    if (n == -ENOENT)
        return NULL;
    json_t *doc = n < 0 ? NULL : json_loadb(text, (size_t)n, 0, &problem);
    if (n < 0)
        dt_error_set(err, "%s/" NAME " can not be read: %s", root->path, strerror((int)-n));
    else if (!doc)
        dt_error_set(err, "%s/" NAME ":%d: %s", root->path, problem.line, problem.text);
    return doc;
}

bool dt_facts_overlay_brings(const struct dt_root *root, const char *key)
{
    struct dt_error err;
    json_t *doc = load(root, &err);
    json_t *value = json_object_get(doc, key);
    bool brings = value && !json_is_null(value);
    json_decref(doc);
    return brings;
}

int dt_facts_overlay(struct dt_facts *facts, const struct dt_root *root, struct dt_error *err)
{
    struct dt_facts over = {0};
    json_t *doc = load(root, err);
    if (!doc)
        return err->text[0] ? -1 : 0;
    take_away(facts, doc);
    int rc = dt_facts_from_json(&over, doc, err);
    json_decref(doc);
    if (rc < 0)
        return dt_error_prefix(err, "%s/" NAME, root->path);
    rc = json_object_update(facts->doc, over.doc);
    dt_facts_fini(&over);
    return rc < 0 ? dt_error_set(err, "out of memory") : 0;
}
