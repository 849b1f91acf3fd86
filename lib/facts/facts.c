/* SPDX-License-Identifier: Apache-2.0 */
/* The document of facts: typed access, and taking over one that came from outside. */
#include "facts/facts.h"

#include <stdio.h>
#include <string.h>

#include "facts/printable.h"
#include "facts/reader.h"

void dt_facts_fini(struct dt_facts *facts)
{
    json_decref(facts->doc);
    facts->doc = NULL;
}

bool dt_facts_int(const struct dt_facts *facts, const char *key, long long *value)
{
    const json_t *json = json_object_get(facts->doc, key);
    if (!json_is_integer(json))
        return false;
    *value = json_integer_value(json);
    return true;
}

bool dt_facts_string(const struct dt_facts *facts, const char *key, const char **value)
{
    const json_t *json = json_object_get(facts->doc, key);
    if (!json_is_string(json))
        return false;
    *value = json_string_value(json);
    return true;
}

json_t *dt_facts_array(const struct dt_facts *facts, const char *key)
{
    json_t *json = json_object_get(facts->doc, key);
    return json_is_array(json) ? json : NULL;
}

const char *dt_facts_why(const struct dt_facts *facts, const char *key)
{
    char name[128];
    const char *why = NULL;
    int n = snprintf(name, sizeof name, "why.%s", key);
    if (n > 0 && (size_t)n < sizeof name)
        dt_facts_string(facts, name, &why);
    return why ? why : "not known";
}

int dt_facts_set_int(struct dt_facts *facts, const char *key, long long value)
{
    return json_object_set_new(facts->doc, key, json_integer(value));
}

int dt_facts_set_string(struct dt_facts *facts, const char *key, const char *value)
{
    return json_object_set_new(facts->doc, key, dt_printable_json(value, DT_FACT_TEXT_MAX));
}

/* A copy of a number, truth value or text; NULL for anything else. */
static json_t *copy_scalar(const json_t *value)
{
    if (json_is_string(value))
        return dt_printable_json(json_string_value(value), DT_FACT_TEXT_MAX);
    if (json_is_integer(value))
        return json_integer(json_integer_value(value));
    return json_is_boolean(value) ? json_boolean(json_is_true(value)) : NULL;
}

static bool key_is_fine(const char *key)
{
    size_t len = strlen(key);
    return len > 0 && len <= 96 &&
           strspn(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == len;
}

/* One value inside an array: a scalar or a flat object. */
static json_t *copy_item(json_t *item)
{
    if (!json_is_object(item))
        return copy_scalar(item);
    json_t *copy = json_object();
    const char *key;
    json_t *value;
    if (json_object_size(item) > DT_FACTS_KEYS_MAX)
        goto bad;
    json_object_foreach(item, key, value)
    {
        if (!key_is_fine(key) || json_object_set_new(copy, key, copy_scalar(value)) < 0)
            goto bad;
    }
    return copy;
bad:
    json_decref(copy);
    return NULL;
}

static json_t *copy_array(json_t *array)
{
    if (json_array_size(array) > DT_FACTS_ITEMS_MAX)
        return NULL;
    json_t *copy = json_array();
    size_t i;
    json_t *item;
    json_array_foreach(array, i, item)
    {
        if (json_array_append_new(copy, copy_item(item)) < 0) {
            json_decref(copy);
            return NULL;
        }
    }
    return copy;
}

int dt_facts_from_json(struct dt_facts *facts, json_t *doc, struct dt_error *err)
{
    *facts = (struct dt_facts){0};
    if (!json_is_object(doc))
        return dt_error_set(
            err, "the facts are not a JSON object: is the other end a dt of this version?");
    if (json_object_size(doc) > DT_FACTS_KEYS_MAX)
        return dt_error_set(err, "the facts have %zu keys and at most %d are taken",
                            json_object_size(doc), DT_FACTS_KEYS_MAX);
    json_t *copy = json_object();
    const char *key;
    json_t *value;
    json_object_foreach(doc, key, value)
    {
        if (!key_is_fine(key)) {
            dt_error_set(err, "the facts have a key that is none: '%.40s'", key);
            goto bad;
        }
        json_t *taken = json_is_array(value) ? copy_array(value) : copy_scalar(value);
        if (json_object_set_new(copy, key, taken) < 0) {
            dt_error_set(err, "fact '%s' is neither a number, a text nor a list of these", key);
            goto bad;
        }
    }
    facts->doc = copy;
    return 0;
bad:
    json_decref(copy);
    return -1;
}
