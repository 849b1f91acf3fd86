/* SPDX-License-Identifier: Apache-2.0 */
/* One detection from start to end, and its result as facts and JSON. */
#include <stdlib.h>
#include <string.h>

#include "facts/printable.h"
#include "versions/internal.h"

static void version_fini(struct dt_version *version)
{
    free(version->component);
    free(version->version);
    free(version->path);
    free(version->found);
    free(version->why);
}

int dt_detection_add(struct dt_detection *detection, const char *component, const char *path,
                     char *version, char *found, char *why, bool loads)
{
    struct dt_versions *out = detection->out;
    struct dt_version item = {.component = strdup(component),
                              .version = version,
                              .path = strdup(path),
                              .found = found,
                              .why = why,
                              .loads = loads};
    void *more = realloc(out->items, (out->count + 1) * sizeof *out->items);
    if (more)
        out->items = more;
    if (!more || !item.component || !item.path) {
        version_fini(&item);
        return -1;
    }
    /* Files have strange bytes in them; what is shown must not drive a terminal. */
    if (item.version)
        dt_printable(item.version);
    dt_printable(item.path);
    dt_printable(item.why);
    size_t at = out->count++;
    /* A copy that loads stands before the others of its component. */
    while (loads && at > 0 && strcmp(out->items[at - 1].component, component) == 0) {
        out->items[at] = out->items[at - 1];
        at--;
    }
    out->items[at] = item;
    return 0;
}

int dt_versions_detect(struct dt_versions *versions, const struct dt_versions_request *request,
                       struct dt_error *err)
{
    struct dt_detection detection = {.out = versions};
    *versions = (struct dt_versions){0};
    int rc = dt_search_init(&detection.search, request);
    rc = rc ? rc : dt_detect_host(&detection);
    rc = rc ? rc : dt_detect_sites(&detection);
    rc = rc ? rc : dt_detect_wheels(&detection);
    rc = rc ? rc : dt_detect_libraries(&detection);
    dt_search_fini(&detection.search);
    dt_list_fini(&detection.sites);
    free(detection.installed);
    free(detection.packages);
    free(detection.torch_library);
    if (rc == 0)
        return 0;
    dt_versions_fini(versions);
    return dt_error_set(err, "versions could not be read: out of memory");
}

void dt_versions_fini(struct dt_versions *versions)
{
    for (size_t i = 0; i < versions->count; i++)
        version_fini(&versions->items[i]);
    free(versions->items);
    *versions = (struct dt_versions){0};
}

const struct dt_version *dt_versions_loaded(const struct dt_versions *versions,
                                            const char *component)
{
    for (size_t i = 0; i < versions->count; i++) {
        if (versions->items[i].loads && strcmp(versions->items[i].component, component) == 0)
            return &versions->items[i];
    }
    return NULL;
}

int dt_versions_to_facts(const struct dt_versions *versions, struct dt_facts *facts,
                         struct dt_error *err)
{
    static const char *const keys[][2] = {
        {"libfabric", "lib.libfabric"}, {"rdma-core", "lib.rdma_core"}, {"nccl", "lib.nccl"},
        {"ofi-nccl", "lib.ofi_nccl"},   {"cuda", "lib.cuda"},           {"neuron", "lib.neuron"},
        {"torch", "lib.torch"},
    };
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        const struct dt_version *item = dt_versions_loaded(versions, keys[i][0]);
        if (item && item->version && dt_facts_set_string(facts, keys[i][1], item->version) < 0)
            return dt_error_set(err, "versions could not be kept: out of memory");
        if (item && !item->version) /* the usual places know of another copy than the job's */
            json_object_del(facts->doc, keys[i][1]);
    }
    return 0;
}

json_t *dt_version_json(const struct dt_version *version, const char *node, long nodes)
{
    enum { TEXT_MAX = 256 };
    json_t *object = json_object();
    int bad = json_object_set_new(object, "node", dt_printable_json(node, TEXT_MAX));
    bad |= json_object_set_new(object, "nodes", json_integer(nodes));
    bad |= json_object_set_new(object, "component", json_string(version->component));
    bad |= json_object_set_new(object, "version",
                               version->version ? dt_printable_json(version->version, TEXT_MAX)
                                                : json_null());
    bad |= json_object_set_new(object, "loads", json_boolean(version->loads));
    bad |= json_object_set_new(object, "path", dt_printable_json(version->path, TEXT_MAX));
    bad |= json_object_set_new(object, "found", dt_printable_json(version->found, TEXT_MAX));
    bad |= json_object_set_new(object, "why", dt_printable_json(version->why, TEXT_MAX));
    if (!bad)
        return object;
    json_decref(object);
    return NULL;
}
