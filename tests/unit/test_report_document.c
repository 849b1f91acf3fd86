/* SPDX-License-Identifier: Apache-2.0 */
/* The document for programs against docs/report.schema.json: required keys and their types. */
#include "report_scene.h"

#include "policy/policy.h"
#include "report/detail.h"
#include "report/message.h"

static bool type_is(const json_t *value, const json_t *type)
{
    static const char *const names[] = {
        "object", "array",   "string",  "integer",
        "number", "boolean", "boolean", "null"}; /* in the order of json_type */
    const char *have = names[json_typeof(value)];
    if (json_is_string(type))
        return strcmp(json_string_value(type), have) == 0;
    for (size_t i = 0; i < json_array_size(type); i++)
        if (strcmp(json_string_value(json_array_get(type, i)), have) == 0)
            return true;
    return false;
}

static void conform(const json_t *schema, const json_t *root, const json_t *value,
                    const char *where)
{
    const char *ref = json_string_value(json_object_get(schema, "$ref"));
    size_t i;
    json_t *one;
    const char *key;
    if (ref) {
        assert_string_equal(ref, "#/$defs/result");
        conform(json_object_get(json_object_get(root, "$defs"), "result"), root, value, where);
    }
    json_array_foreach(json_object_get(schema, "allOf"), i, one) conform(one, root, value, where);
    const json_t *type = json_object_get(schema, "type");
    if (type && !type_is(value, type))
        fail_msg("%s has a wrong type", where);
    const json_t *choices = json_object_get(schema, "enum");
    bool chosen = !choices;
    json_array_foreach(choices, i, one) chosen |= json_equal(one, value);
    if (!chosen)
        fail_msg("%s has none of the values of the schema", where);
    if (json_object_get(schema, "const"))
        assert_true(json_equal(json_object_get(schema, "const"), value));
    json_array_foreach(json_object_get(schema, "required"), i,
                       one) if (json_is_object(value) &&
                                !json_object_get(value, json_string_value(one)))
        fail_msg("%s lacks %s", where, json_string_value(one));
    json_t *properties = json_object_get(schema, "properties");
    json_object_foreach(properties, key, one) if (json_object_get(value, key))
        conform(one, root, json_object_get(value, key), key);
    const json_t *items = json_object_get(schema, "items");
    for (i = 0; items && i < json_array_size(value); i++)
        conform(items, root, json_array_get(value, i), where);
}

static int append(const char *bytes, size_t len, void *context)
{
    dt_buf_append(context, bytes, len);
    return 0;
}

static json_t *document_of(const struct dt_report *report)
{
    struct dt_verdict verdict;
    struct dt_buf text = DT_BUF_INIT;
    json_error_t where;
    verdict_of(report, &verdict);
    assert_int_equal(dt_report_write(report, &verdict, append, &text), 0);
    json_t *document = json_loads(text.data, JSON_REJECT_DUPLICATES, &where);
    if (!document)
        fail_msg("%s: %s", where.text, text.data);
    dt_buf_fini(&text);
    dt_verdict_fini(&verdict);
    return document;
}

/* What a node says travels as in life, so that all its checks and facts are in the document. */
static void report_in_full(struct dt_report_node *node)
{
    struct dt_report_message message = {.facts = &node->facts, .checks = &node->checks, .env = ""};
    struct dt_report_node taken = {.name = node->name};
    struct dt_error err;
    int port;
    json_t *object = dt_report_message(&message);
    json_t *detail = dt_detail_message(&node->facts, &node->checks);
    char *text = json_dumps(detail, JSON_COMPACT);
    if (dt_detail_take(&taken.detail, text, strlen(text), &err) < 0 ||
        dt_report_take(&taken, &port, object, &err) < 0)
        fail_msg("%s", err.text);
    node->name = NULL;
    dt_report_node_fini(node);
    *node = taken;
    free(text);
    json_decref(detail);
    json_decref(object);
}

static void document_conforms_to_the_schema(void **state)
{
    struct dt_report report;
    json_error_t where;
    (void)state;
    json_t *schema = json_load_file("docs/report.schema.json", 0, &where);
    if (!schema)
        schema = json_load_file("../../docs/report.schema.json", 0, &where);
    if (!schema)
        fail_msg("docs/report.schema.json: %s (run from the top of the repository)", where.text);
    report_init(&report, 4);
    break_efa(&report, 2);
    lose(&report, 3, "no connection");
    free(report.nodes[3].name);
    report.nodes[3].name = NULL;
    add_finding(&report, 1, "kernel", DT_FAIL, "5.10");
    add_finding(&report, SIZE_MAX, "instance-type", DT_WARN, "two");
    for (size_t i = 0; i < 2; i++) /* that of node 2 is lost: what is known of it must do */
        report_in_full(&report.nodes[i]);
    report.nodes[2].drains.items = calloc(1, sizeof(struct dt_proposal));
    report.nodes[2].drains.items[report.nodes[2].drains.count++] = (struct dt_proposal){
        strdup("efa-port"), strdup("DRAIN"), strdup("dt: efa-port: DOWN"), false};
    json_t *document = document_of(&report);
    conform(schema, schema, document, "document");
    json_t *nodes = json_object_get(document, "nodes");
    assert_int_equal(json_array_size(nodes), 4);
    assert_string_equal(json_string_value(json_object_get(json_array_get(nodes, 0), "result")),
                        "PASS");
    assert_string_equal(json_string_value(json_object_get(json_array_get(nodes, 1), "result")),
                        "FAIL");
    assert_string_equal(json_string_value(json_object_get(json_array_get(nodes, 3), "result")),
                        "LOST");
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(document, "verdict"), "exclude")),
        "dt-[2-3]");
    json_t *drain = json_object_get(json_array_get(nodes, 2), "drain");
    assert_string_equal(json_string_value(json_object_get(drain, "check")), "efa-port");
    assert_true(json_is_null(json_object_get(json_array_get(nodes, 1), "drain")));
    json_t *first = json_array_get(nodes, 0);
    assert_int_equal(json_array_size(json_object_get(first, "checks")), 2); /* passed ones too */
    assert_int_equal(json_object_size(json_object_get(first, "facts")), 6);
    json_decref(document);
    json_decref(schema);
    dt_report_fini(&report);
}

static int refuse(const char *bytes, size_t len, void *context)
{
    (void)bytes;
    size_t *left = context;
    if (*left < len)
        return -28;
    *left -= len;
    return 0;
}

static void a_writer_that_fails_ends_it(void **state)
{
    struct dt_report report;
    struct dt_verdict verdict;
    (void)state;
    report_init(&report, 4);
    verdict_of(&report, &verdict);
    for (size_t left = 0; left < 200; left += 40) {
        size_t rest = left;
        assert_int_equal(dt_report_write(&report, &verdict, refuse, &rest), -28);
    }
    dt_verdict_fini(&verdict);
    dt_report_fini(&report);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(document_conforms_to_the_schema),
        cmocka_unit_test(a_writer_that_fails_ends_it),
    };
    return cmocka_run_group_tests_name("report document", tests, NULL, NULL);
}
