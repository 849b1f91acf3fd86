/* SPDX-License-Identifier: Apache-2.0 */
/* What nodes send: a report tells comparison, table and verdict all that the whole of the facts
 * would; and details, which are taken as text. */
#include "report_scene.h"

#include "report/detail.h"
#include "report/message.h"

/* A node of many facts, as dt-node makes it. */
static void node_init(struct dt_report_node *node, size_t i, unsigned seed)
{
    static const char *const kernels[] = {"6.8.0-1021-aws", "6.8.0-1021-aws", "5.10.0"};
    json_t *efas = json_array();
    assert_true(asprintf(&node->name, "dt-%zu", i + 1) > 0);
    node->facts.doc =
        json_pack("{s:s,s:i,s:i,s:I,s:s,s:s,s:s,s:s,s:s,s:i,s:i,s:s,s:s,s:I,s:i,s:s,s:i,s:s}",
                  "instance.type", seed % 7 ? "p5.48xlarge" : "g5.48xlarge", "gpu.count",
                  seed % 5 ? 8 : 7, "efa.count", seed % 11 ? 32 : 31, "mem.total_mib",
                  (json_int_t)(seed % 13 ? 2097152 : 1000000), "kernel.release", kernels[seed % 3],
                  "driver.nvidia", "550.127.05", "driver.efa", "2.13", "lib.libfabric", "1.22",
                  "why.lib.nccl", "no libnccl.so.2", "clock.offset_us", seed % 17 ? 10 : 900000,
                  "clock.rtt_us", 100, "net.address", "10.0.0.5", "node.boot_id", "x",
                  "mem.bandwidth_mb_s", (json_int_t)(seed % 19 ? 9000 : 900), "neuron.count", 0,
                  "cpu.list", "0-191", "took_us", 5, "node.name", node->name);
    for (int k = 0; k < 32; k++)
        json_array_append_new(efas, json_pack("{s:s,s:s,s:i}", "name", "rdmap79s0", "bdf",
                                              "0000:4f:00.0", "numa", k % 2));
    json_object_set_new(node->facts.doc, "efa.devices", efas);
    add_check(node, "gpu-count", DT_PASS, "8 GPUs", "8 (p5.48xlarge)", "");
    add_check(node, "neuron-count", DT_SKIP, "no Neuron", "", "");
    add_check(node, "shm", seed % 23 ? DT_PASS : DT_WARN, "1 GiB", "9 GiB", "clean up");
    add_check(node, "efa-port", seed % 29 ? DT_PASS : DT_FAIL, "one is DOWN", "32", "reboot");
    add_check(node, "memlock", seed % 31 ? DT_PASS : DT_UNKNOWN, "?", "", "look");
}

static json_t *message_of(const struct dt_report_node *node)
{
    struct dt_report_message message = {.facts = &node->facts,
                                        .checks = &node->checks,
                                        .env = "env: 3 variables set",
                                        .port = 40123,
                                        .took_us = 5000};
    json_t *object = dt_report_message(&message);
    assert_non_null(object);
    return object;
}

/* The node as dt-gather has it. */
static void travel(struct dt_report_node *node)
{
    struct dt_report_node taken = {.name = node->name};
    struct dt_error err;
    int port = 0;
    json_t *object = message_of(node);
    if (dt_report_take(&taken, &port, object, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(port, 40123);
    json_decref(object);
    node->name = NULL;
    dt_report_node_fini(node);
    *node = taken;
}

/* The table and the verdict's reason, of nodes as they are or as dt-gather has them. */
static char *outcome(unsigned seed, bool travelled)
{
    enum { NODES = 6 };
    static const struct dt_conf conf = {.max_clock_offset_ms = 100};
    struct dt_report report = {.node_count = NODES, .level = DT_LEVEL_DEEP};
    struct dt_compare_node compared[NODES];
    struct dt_verdict verdict;
    struct dt_error err;
    char *text;
    report.nodes = calloc(NODES, sizeof *report.nodes);
    for (size_t i = 0; i < NODES; i++) {
        struct dt_report_node *node = &report.nodes[i];
        node_init(node, i, seed * 101 + (unsigned)i * 37);
        node->env_summary = strdup("env: 3 variables set");
        if (travelled)
            travel(node);
        compared[i] = (struct dt_compare_node){node->name, &node->facts};
    }
    assert_int_equal(dt_compare(&report.findings, compared, NODES, &conf, &err), 0);
    verdict_of(&report, &verdict);
    char *table = dt_report_table(&report, &verdict, 120, false);
    assert_true(asprintf(&text, "%s%s", table, verdict.reason) > 0);
    free(table);
    dt_verdict_fini(&verdict);
    dt_report_fini(&report);
    return text;
}

static void what_travels_is_judged_as_the_whole(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < 60; seed++) {
        char *whole = outcome(seed, false), *travelled = outcome(seed, true);
        assert_string_equal(travelled, whole);
        free(whole);
        free(travelled);
    }
}

static void a_good_nodes_report_is_small(void **state)
{
    struct dt_report_node node = {0};
    (void)state;
    node_init(&node, 0, 1);
    json_t *object = message_of(&node);
    char *text = json_dumps(object, JSON_COMPACT);
    assert_true(strlen(text) < 1024);
    assert_null(strstr(text, "efa.devices"));
    assert_null(strstr(text, "gpu-count")); /* what passed is counted only */
    travel(&node);
    assert_int_equal(node.ran, 4);
    assert_int_equal(node.checks.count, 0);
    free(text);
    json_decref(object);
    dt_report_node_fini(&node);
}

static void details_are_taken_as_text(void **state)
{
    struct dt_report_node node = {0};
    struct dt_error err;
    char *members = NULL;
    (void)state;
    node_init(&node, 0, 1);
    dt_facts_set_string(&node.facts, "node.name", "a\"b\\c/\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80");
    json_t *detail = dt_detail_message(&node.facts, &node.checks);
    char *text = json_dumps(detail, JSON_COMPACT);
    assert_true(dt_detail_is(text, strlen(text)));
    if (dt_detail_take(&members, text, strlen(text), &err) < 0)
        fail_msg("%s", err.text);
    assert_memory_equal(members, "\"checks\":[{", 11);
    assert_non_null(strstr(text, members));
    assert_int_equal(strlen(text), strlen(members) + strlen("{\"type\":\"detail\",}"));
    /* Cut anywhere, it is refused. */
    for (size_t len = 0; len < strlen(text); len++) {
        char *cut = strndup(text, len), *none = NULL;
        assert_int_equal(dt_detail_take(&none, cut, len, &err), -1);
        assert_null(none);
        free(cut);
    }
    free(members);
    free(text);
    json_decref(detail);
    dt_report_node_fini(&node);
}

#define DETAIL(checks, facts) "{\"type\":\"detail\",\"checks\":" checks ",\"facts\":" facts "}"

static void wrong_details_are_refused(void **state)
{
    static const char *const bad[] = {
        DETAIL("{}", "{}"),
        DETAIL("[]", "[]"),
        DETAIL("[]", "{}") " ",
        DETAIL("[ ]", "{}"),
        DETAIL("[]", "{},\"name\":7"),
        DETAIL("[,]", "{}"),
        DETAIL("[1,]", "{}"),
        DETAIL("[01]", "{}"),
        DETAIL("[-]", "{}"),
        DETAIL("[1.5]", "{}"),
        DETAIL("[1e9]", "{}"),
        DETAIL("[1234567890123456789]", "{}"),
        DETAIL("[tru]", "{}"),
        DETAIL("[]", "{\"a\"}"),
        DETAIL("[]", "{\"a\":}"),
        DETAIL("[]", "{a:1}"),
        DETAIL("[\"\\u001b[2J\"]", "{}"),
        DETAIL("[\"\\n\"]", "{}"),
        DETAIL("[\"\x1b\"]", "{}"),
        DETAIL("[\"\x7f\"]", "{}"),
        DETAIL("[\"\xc0\x80\"]", "{}"),
        DETAIL("[\"\xed\xa0\x80\"]", "{}"),
        DETAIL("[\"\xf4\x90\x80\x80\"]", "{}"),
        DETAIL("[\"\xe2\x82\"]", "{}"),
        DETAIL("[[[[[[[[[1]]]]]]]]]", "{}"),
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct dt_error err = {{0}};
        char *members = NULL;
        if (dt_detail_take(&members, bad[i], strlen(bad[i]), &err) == 0)
            fail_msg("taken: %s", bad[i]);
        assert_non_null(strstr(err.text, "sent details"));
        assert_null(members);
    }
    /* What would act on a terminal is made visible. */
    struct dt_error err;
    char *members;
    const char *text = DETAIL("[\"a\xe2\x80\xae\"]", "{}");
    assert_int_equal(dt_detail_take(&members, text, strlen(text), &err), 0);
    assert_string_equal(members, "\"checks\":[\"a?\"],\"facts\":{}");
    free(members);
}

static void wrong_reports_are_refused(void **state)
{
    static const char *const bad[] = {
        "{}",
        "{\"facts\":7,\"checks\":[],\"ran\":0,\"env\":\"\",\"port\":0,\"took_us\":1}",
        "{\"facts\":{},\"checks\":{},\"ran\":0,\"env\":\"\",\"port\":0,\"took_us\":1}",
        "{\"facts\":{},\"checks\":[],\"ran\":0,\"env\":7,\"port\":0,\"took_us\":1}",
        "{\"facts\":{},\"checks\":[],\"ran\":-2,\"env\":\"\",\"port\":0,\"took_us\":1}",
        "{\"facts\":{},\"checks\":[],\"ran\":999,\"env\":\"\",\"port\":0,\"took_us\":1}",
        "{\"facts\":{},\"checks\":[],\"ran\":0,\"env\":\"\",\"port\":65536,\"took_us\":1}",
        "{\"facts\":{},\"checks\":[],\"ran\":0,\"env\":\"\",\"port\":0,\"took_us\":-1}",
        "{\"facts\":{},\"checks\":[{\"name\":\"x\"}],\"env\":\"\",\"port\":0,\"took_us\":1}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct dt_report_node node = {0};
        struct dt_error err = {{0}};
        int port = 0;
        json_t *object = json_loads(bad[i], 0, NULL);
        assert_non_null(object);
        if (dt_report_take(&node, &port, object, &err) == 0)
            fail_msg("taken: %s", bad[i]);
        assert_non_null(strstr(err.text, "sent a report"));
        assert_null(node.facts.doc);
        json_decref(object);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_travels_is_judged_as_the_whole),
        cmocka_unit_test(a_good_nodes_report_is_small),
        cmocka_unit_test(details_are_taken_as_text),
        cmocka_unit_test(wrong_details_are_refused),
        cmocka_unit_test(wrong_reports_are_refused),
    };
    return cmocka_run_group_tests_name("report message", tests, NULL, NULL);
}
