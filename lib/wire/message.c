/* SPDX-License-Identifier: Apache-2.0 */
/* Messages to and from JSON. */
#include "wire/message.h"

#include <stdlib.h>
#include <string.h>

bool dt_message_is(const json_t *object, const char *type)
{
    const char *text = json_string_value(json_object_get(object, "type"));
    return text && strcmp(text, type) == 0;
}

json_t *dt_hello_to_json(const struct dt_hello *hello)
{
    return json_pack("{s:s,s:i,s:s,s:s,s:i,s:i,s:i,s:s,s:i,s:i}", "type", "hello", "dt",
                     DT_WIRE_VERSION, "token", hello->token, "node", hello->node, "nodeid",
                     hello->node_id, "nodes", hello->node_count, "tasks", hello->tasks, "step",
                     hello->step, "het_group", hello->het_group, "het_size", hello->het_size);
}

static bool hello_is_sane(const struct dt_hello *hello)
{
    bool het = hello->het_size != 0;
    return hello->node_count >= 1 && hello->node_count <= 65536 && hello->node_id >= 0 &&
           hello->node_id < hello->node_count && hello->tasks >= 0 && hello->het_size >= 0 &&
           hello->het_size <= 1024 && *hello->node &&
           (het ? hello->het_group >= 0 && hello->het_group < hello->het_size
                : hello->het_group == -1);
}

int dt_hello_from_json(struct dt_hello *hello, const json_t *object, struct dt_error *err)
{
    int version = 0;
    json_error_t why;
    *hello = (struct dt_hello){0};
    if (!dt_message_is(object, "hello"))
        return dt_error_set(err, "the first message is no hello");
    if (json_unpack_ex((json_t *)object, &why, 0, "{s:i,s:s,s:s,s:i,s:i,s:i,s:s,s:i,s:i}", "dt",
                       &version, "token", &hello->token, "node", &hello->node, "nodeid",
                       &hello->node_id, "nodes", &hello->node_count, "tasks", &hello->tasks, "step",
                       &hello->step, "het_group", &hello->het_group, "het_size",
                       &hello->het_size) < 0)
        return dt_error_set(err, "a hello of a wrong shape: %s", why.text);
    if (version != DT_WIRE_VERSION)
        return dt_error_set(err, "node %s speaks version %d of dt's protocol, this is version %d",
                            hello->node, version, DT_WIRE_VERSION);
    if (!hello_is_sane(hello))
        return dt_error_set(err, "a hello with impossible numbers: node %d of %d", hello->node_id,
                            hello->node_count);
    return 0;
}

json_t *dt_decision_to_json(const struct dt_decision *decision)
{
    json_t *components = json_array();
    for (size_t i = 0; i < decision->component_count; i++)
        json_array_append_new(components, json_pack("[i,i]", decision->components[i].nodes,
                                                    decision->components[i].tasks));
    return json_pack("{s:s,s:b,s:i,s:s,s:s,s:i,s:o,s:s,s:s}", "type", "verdict", "go", decision->go,
                     "code", decision->code, "reason", decision->reason, "master_addr",
                     decision->master_addr, "master_port", decision->master_port, "components",
                     components, "drain", decision->drain ? decision->drain : "", "shared",
                     decision->shared ? decision->shared : "");
}

static int take_components(struct dt_decision *decision, json_t *array, struct dt_error *err)
{
    size_t count = json_array_size(array);
    decision->components = calloc(count + 1, sizeof *decision->components);
    if (!decision->components)
        return dt_error_set(err, "out of memory");
    for (size_t i = 0; i < count; i++) {
        struct dt_component *c = &decision->components[i];
        if (json_unpack(json_array_get(array, i), "[i,i]", &c->nodes, &c->tasks) < 0 ||
            c->nodes < 1 || c->tasks < 0)
            return dt_error_set(err, "a verdict with a wrong list of components");
    }
    decision->component_count = count;
    return 0;
}

int dt_decision_from_json(struct dt_decision *decision, const json_t *object, struct dt_error *err)
{
    int go = 0;
    json_t *components = NULL;
    json_error_t why;
    *decision = (struct dt_decision){0};
    if (!dt_message_is(object, "verdict"))
        return dt_error_set(err, "a message that is no verdict");
    decision->drain = decision->shared = "";
    if (json_unpack_ex((json_t *)object, &why, 0, "{s:b,s:i,s:s,s:s,s:i,s:o,s?s,s?s}", "go", &go,
                       "code", &decision->code, "reason", &decision->reason, "master_addr",
                       &decision->master_addr, "master_port", &decision->master_port, "components",
                       &components, "drain", &decision->drain, "shared", &decision->shared) < 0)
        return dt_error_set(err, "a verdict of a wrong shape: %s", why.text);
    decision->go = go;
    if (decision->code < 0 || decision->code > 255 || decision->go != (decision->code == 0) ||
        decision->master_port < 0 || decision->master_port > 65535)
        return dt_error_set(err, "a verdict with impossible numbers: code %d", decision->code);
    if (take_components(decision, components, err) < 0) {
        free(decision->components);
        *decision = (struct dt_decision){0};
        return -1;
    }
    return 0;
}
