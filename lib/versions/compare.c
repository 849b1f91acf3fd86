/* SPDX-License-Identifier: Apache-2.0 */
/* The versions of many nodes against each other. Components of which no node loads a copy are
 * compared by the first copy that each has. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/hostlist.h"
#include "facts/printable.h"
#include "versions/versions.h"

enum { NODES_MAX = 65536, COMPONENTS_MAX = 256 };

struct dt_versions_nodes {
    json_t *nodes;      /* name -> {component -> version text} */
    json_t *components; /* names, in the order in which they came */
    long long expected;
};

struct dt_versions_nodes *dt_versions_nodes_create(void)
{
    struct dt_versions_nodes *nodes = calloc(1, sizeof *nodes);
    if (!nodes)
        return NULL;
    nodes->nodes = json_object();
    nodes->components = json_object();
    if (nodes->nodes && nodes->components)
        return nodes;
    dt_versions_nodes_destroy(nodes);
    return NULL;
}

void dt_versions_nodes_destroy(struct dt_versions_nodes *nodes)
{
    if (!nodes)
        return;
    json_decref(nodes->nodes);
    json_decref(nodes->components);
    free(nodes);
}

static bool is_name(const char *text, size_t max)
{
    return text && *text && strlen(text) <= max &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
               strlen(text);
}

/* The copy that loads is the one that counts; else the first. */
static int keep(struct dt_versions_nodes *nodes, const char *node, const char *component,
                const char *version, bool loads)
{
    json_t *known = json_object_get(nodes->nodes, node);
    if (!known) {
        known = json_object();
        if (json_object_set_new(nodes->nodes, node, known) < 0)
            return -1;
    }
    if (!component)
        return 0;
    if (json_object_set_new(nodes->components, component, json_true()) < 0)
        return -1;
    if (json_object_get(known, component) && !loads)
        return 0;
    return json_object_set_new(known, component,
                               dt_printable_json(version ? version : "an unknown version", 128));
}

int dt_versions_nodes_add(struct dt_versions_nodes *nodes, const char *line, size_t len,
                          struct dt_error *err)
{
    json_error_t error;
    while (len > 0 && strchr(" \t\r\n", line[len - 1]))
        len--;
    if (len == 0)
        return 0;
    json_t *object = json_loadb(line, len, 0, &error);
    const char *node = json_string_value(json_object_get(object, "node"));
    const char *component = json_string_value(json_object_get(object, "component"));
    const json_t *version = json_object_get(object, "version");
    long long expected = json_integer_value(json_object_get(object, "nodes"));
    int rc = -1;
    if (!is_name(node, 255) || (component && !is_name(component, 64)) ||
        (component && !json_is_string(version) && !json_is_null(version)))
        dt_error_set(err, "'%.60s' is no line of \"dt-env versions --json\"", line);
    else if (json_object_size(nodes->nodes) >= NODES_MAX ||
             json_object_size(nodes->components) >= COMPONENTS_MAX)
        dt_error_set(err, "more than %d nodes or %d components", NODES_MAX, COMPONENTS_MAX);
    else if (keep(nodes, node, component, json_string_value(version),
                  json_is_true(json_object_get(object, "loads"))) < 0)
        dt_error_set(err, "out of memory");
    else
        rc = 0;
    if (rc == 0 && expected > nodes->expected && expected <= NODES_MAX)
        nodes->expected = expected;
    json_decref(object);
    return rc;
}

/* ---- one component ---------------------------------------------------------------------------- */

/* value -> array of nodes, of one component; nodes that lack it are under "not there". */
static json_t *group(const struct dt_versions_nodes *nodes, const char *component)
{
    json_t *groups = json_object(), *known;
    const char *name;
    json_object_foreach(nodes->nodes, name, known)
    {
        const char *value = json_string_value(json_object_get(known, component));
        if (!value)
            value = "not there";
        json_t *members = json_object_get(groups, value);
        if (!members) {
            members = json_array();
            if (json_object_set_new(groups, value, members) < 0)
                goto bad;
        }
        if (json_array_append_new(members, json_string(name)) < 0)
            goto bad;
    }
    return groups;
bad:
    json_decref(groups);
    return NULL;
}

static char *names_of(const json_t *members)
{
    size_t count = json_array_size(members);
    char **names = calloc(count + 1, sizeof *names);
    for (size_t i = 0; names && i < count; i++)
        names[i] = (char *)json_string_value(json_array_get(members, i));
    char *text = names ? dt_hostlist_compress(names, count) : NULL;
    free(names);
    return text;
}

static const char *largest(const json_t *groups, size_t *size)
{
    const char *value, *most = NULL;
    json_t *members;
    *size = 0;
    json_object_foreach((json_t *)groups, value, members)
    {
        if (json_array_size(members) > *size) {
            *size = json_array_size(members);
            most = value;
        }
    }
    return most;
}

static int add_finding(struct dt_versions_comparison *comparison, const char *component,
                       const char *names, const char *value, const char *others)
{
    json_t *finding = json_pack("{s:s, s:s, s:s, s:s?}", "component", component, "nodes", names,
                                "version", value, "others", others);
    comparison->differing++;
    return json_array_append_new(comparison->findings, finding);
}

static int compare_component(struct dt_versions_comparison *comparison, struct dt_buf *text,
                             const struct dt_versions_nodes *nodes, const char *component)
{
    json_t *groups = group(nodes, component), *members;
    size_t size = 0;
    const char *value, *most = groups ? largest(groups, &size) : NULL;
    int rc = groups ? 0 : -1;
    bool majority = most && size * 2 > comparison->nodes;
    if (rc == 0 && json_object_size(groups) > 1 && !majority)
        dt_buf_printf(text, "%s: no majority:", component);
    const char *separator = " ";
    json_object_foreach(groups, value, members)
    {
        if (rc < 0 || json_object_size(groups) < 2 || (majority && strcmp(value, most) == 0))
            continue;
        char *names = names_of(members);
        if (!names || add_finding(comparison, component, names, value, majority ? most : NULL) < 0)
            rc = -1;
        else if (majority)
            dt_buf_printf(text, "%s: odd: %s has %s; %zu other node%s: %s\n", component, names,
                          value, size, size == 1 ? "" : "s", most);
        else
            dt_buf_printf(text, "%s%s has %s", separator, names, value);
        separator = ", ";
        free(names);
    }
    if (rc == 0 && json_object_size(groups) > 1 && !majority)
        dt_buf_puts(text, "\n");
    json_decref(groups);
    return rc;
}

int dt_versions_compare(struct dt_versions_comparison *comparison,
                        const struct dt_versions_nodes *nodes, struct dt_error *err)
{
    struct dt_buf text = DT_BUF_INIT;
    const char *component;
    json_t *unused;
    *comparison = (struct dt_versions_comparison){.findings = json_array(),
                                                  .nodes = json_object_size(nodes->nodes),
                                                  .expected = (size_t)nodes->expected};
    int rc = comparison->findings ? 0 : -1;
    json_object_foreach(nodes->components, component, unused)
    {
        (void)unused;
        if (rc == 0)
            rc = compare_component(comparison, &text, nodes, component);
    }
    comparison->text = dt_buf_take(&text);
    if (rc == 0 && comparison->text)
        return 0;
    dt_versions_comparison_fini(comparison);
    return dt_error_set(err, "the nodes could not be compared: out of memory");
}

void dt_versions_comparison_fini(struct dt_versions_comparison *comparison)
{
    free(comparison->text);
    json_decref(comparison->findings);
    *comparison = (struct dt_versions_comparison){0};
}
