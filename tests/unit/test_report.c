/* SPDX-License-Identifier: Apache-2.0 */
/* Verdict, table and document: what a user reads at the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/exitcode.h"
#include "report/report.h"

static void add_check(struct dt_report_node *node, const char *name, enum dt_result result,
                      const char *value, const char *limit, const char *next)
{
    struct dt_check_result *items =
        realloc(node->checks.items, (node->checks.count + 1) * sizeof *items);
    assert_non_null(items);
    node->checks.items = items;
    struct dt_check_result *check = &items[node->checks.count++];
    *check = (struct dt_check_result){.name = name};
    dt_judge(check, result, "test");
    dt_judge_value(check, "%s", value);
    dt_judge_limit(check, "%s", limit);
    dt_judge_next(check, "%s", next);
    assert_int_equal(dt_judge_finish(check), 0);
}

static void report_init(struct dt_report *report, size_t count)
{
    *report = (struct dt_report){.node_count = count,
                                 .level = DT_LEVEL_FAST,
                                 .took_us = 41234,
                                 .job = strdup("123.0"),
                                 .findings = {.checks = 10}};
    report->nodes = calloc(count, sizeof *report->nodes);
    for (size_t i = 0; i < count; i++) {
        struct dt_report_node *node = &report->nodes[i];
        assert_true(asprintf(&node->name, "dt-%zu", i + 1) > 0);
        node->facts.doc =
            json_pack("{s:s,s:i,s:i,s:i,s:s,s:s}", "instance.type", "p5.48xlarge", "gpu.count", 8,
                      "efa.count", 32, "mem.total_mib", 2097152, "kernel.release", "6.8.0-1021-aws",
                      "driver.nvidia", "550.127.05");
        add_check(node, "gpu-count", DT_PASS, "8 GPUs", "8 (p5.48xlarge)", "");
        add_check(node, "neuron-count", DT_SKIP, "no Neuron", "", "");
    }
}

static void lose(struct dt_report *report, size_t node, const char *why)
{
    dt_check_results_fini(&report->nodes[node].checks);
    dt_facts_fini(&report->nodes[node].facts);
    report->nodes[node].lost = strdup(why);
}

static void break_efa(struct dt_report *report, size_t node)
{
    add_check(&report->nodes[node], "efa-port", DT_FAIL, "rdmap79s0 is DOWN (31 of 32 up)",
              "32 ACTIVE ports", "reboot or replace the instance");
}

static void add_finding(struct dt_report *report, size_t node, const char *name,
                        enum dt_result result, const char *value)
{
    struct dt_finding *items =
        realloc(report->findings.items, (report->findings.count + 1) * sizeof *items);
    assert_non_null(items);
    report->findings.items = items;
    struct dt_finding *finding = &items[report->findings.count++];
    *finding = (struct dt_finding){.node = node, .result = {.name = name}};
    dt_judge(&finding->result, result, "test");
    dt_judge_value(&finding->result, "%s", value);
    dt_judge_next(&finding->result, "do something");
    assert_int_equal(dt_judge_finish(&finding->result), 0);
}

static void verdict_of(const struct dt_report *report, struct dt_verdict *verdict)
{
    struct dt_error err;
    assert_int_equal(dt_report_verdict(report, verdict, &err), 0);
    assert_non_null(verdict->reason);
}

static void assert_verdict(const struct dt_report *report, int code, const char *exclude,
                           const char *reason)
{
    struct dt_verdict verdict;
    verdict_of(report, &verdict);
    if (verdict.code != code || !strstr(verdict.reason, reason))
        fail_msg("code %d, not %d; reason '%s', not '%s'", verdict.code, code, verdict.reason,
                 reason);
    assert_int_equal(verdict.go, code == 0);
    if (exclude)
        assert_string_equal(verdict.exclude ? verdict.exclude : "(none)", exclude);
    else
        assert_null(verdict.exclude);
    dt_verdict_fini(&verdict);
}

static void verdicts(void **state)
{
    struct dt_report report;
    (void)state;
    report_init(&report, 4);
    assert_verdict(&report, DT_EXIT_OK, NULL, "4 nodes are fit");
    add_check(&report.nodes[1], "shm", DT_UNKNOWN, "not known", "", "look");
    assert_verdict(&report, DT_EXIT_OK, NULL, "not everything could be checked");
    break_efa(&report, 2);
    assert_verdict(&report, DT_EXIT_UNFIT, "dt-3", "1 of 4 nodes is not fit: dt-3 (efa-port)");
    lose(&report, 3, "no connection in 5.0 s");
    assert_verdict(&report, DT_EXIT_UNFIT, "dt-[3-4]",
                   "1 of 4 nodes did not report: dt-4 (no conn");
    report.warn_only = true;
    struct dt_verdict verdict;
    verdict_of(&report, &verdict);
    assert_true(verdict.go);
    assert_int_equal(verdict.code, 0);
    assert_string_equal(verdict.exclude, "dt-[3-4]");
    dt_verdict_fini(&verdict);
    dt_report_fini(&report);

    report_init(&report, 4);
    lose(&report, 0, "did not connect in 5.0 s");
    assert_verdict(&report, DT_EXIT_INCOMPLETE, "dt-1", "dt-1 (did not connect");
    free(report.nodes[0].name);
    report.nodes[0].name = NULL;
    assert_verdict(&report, DT_EXIT_INCOMPLETE, NULL, "node 1 of 4");
    dt_report_fini(&report);

    report_init(&report, 2);
    add_finding(&report, SIZE_MAX, "kernel", DT_FAIL, "6.8 on dt-1, 5.10 on dt-2");
    assert_verdict(&report, DT_EXIT_UNFIT, NULL, "do not agree on kernel: 6.8 on dt-1");
    dt_report_fini(&report);

    report_init(&report, 4);
    add_finding(&report, 1, "kernel", DT_FAIL, "5.10");
    add_finding(&report, 2, "clock", DT_WARN, "x");
    assert_verdict(&report, DT_EXIT_UNFIT, "dt-2", "dt-2 (kernel)");
    dt_report_fini(&report);
}

static void shared_failures_blame_nobody(void **state)
{
    struct dt_report report;
    struct dt_verdict verdict;
    (void)state;
    report_init(&report, 64);
    for (size_t i = 0; i < 31; i++)
        add_check(&report.nodes[i], "fs-writable", DT_FAIL, i % 2 ? "/fsx: hangs" : "/fsx: stale",
                  "x", "y");
    break_efa(&report, 63);
    assert_verdict(&report, DT_EXIT_UNFIT, "dt-64", "32 of 64 nodes are not fit");
    verdict_of(&report, &verdict);
    char *table = dt_report_table(&report, &verdict, 120, false);
    assert_non_null(
        strstr(table, "fs-writable fails on 31 of 64 nodes: that looks like a shared cause"));
    assert_non_null(strstr(table, "dt: 32 nodes passed: dt-[32-63]") ? table
                    : strstr(table, "nodes passed")                  ? table
                                                                     : NULL);
    free(table);
    dt_verdict_fini(&verdict);
    dt_report_fini(&report);

    report_init(&report, 15); /* a fifth is not yet shared */
    for (size_t i = 0; i < 3; i++)
        break_efa(&report, i);
    assert_verdict(&report, DT_EXIT_UNFIT, "dt-[1-3]", "3 of 15");
    dt_report_fini(&report);

    report_init(&report, 4); /* two of four are two bad nodes; three are a shared cause */
    break_efa(&report, 0);
    break_efa(&report, 1);
    assert_verdict(&report, DT_EXIT_UNFIT, "dt-[1-2]", "2 of 4");
    break_efa(&report, 2);
    assert_verdict(&report, DT_EXIT_UNFIT, NULL, "3 of 4");
    verdict_of(&report, &verdict);
    table = dt_report_table(&report, &verdict, 0, false);
    assert_null(strstr(table, "--exclude="));
    assert_non_null(strstr(table, "exit code 65"));
    free(table);
    dt_verdict_fini(&verdict);
    dt_report_fini(&report);
}

static void assert_table(const struct dt_report *report, int width, const char *wanted)
{
    struct dt_verdict verdict;
    verdict_of(report, &verdict);
    char *table = dt_report_table(report, &verdict, width, false);
    assert_string_equal(table, wanted);
    free(table);
    dt_verdict_fini(&verdict);
}

static bool table_holds(const struct dt_report *report, const char *text)
{
    struct dt_verdict verdict;
    verdict_of(report, &verdict);
    char *table = dt_report_table(report, &verdict, 200, false);
    bool holds = strstr(table, text);
    if (!holds)
        printf("# not in the table: %s\n%s", text, table);
    free(table);
    dt_verdict_fini(&verdict);
    return holds;
}

static void tables(void **state)
{
    struct dt_report report;
    (void)state;
    report_init(&report, 4);
    report.nodes[0].env_summary = strdup("env: 3 variables set");
    assert_table(
        &report, 100,
        "dt: 4 nodes fit: 1 check each and 10 compared, 41 ms\n"
        "dt:   dt-[1-4]  p5.48xlarge  8 GPUs  32 EFA  2048 GiB  Linux 6.8  driver 550.127  PASS\n"
        "dt:   env: 3 variables set\n");
    add_check(&report.nodes[1], "shm", DT_WARN, "only 1 GiB free of 9 GiB", "9 GiB", "clean up");
    assert_non_null(report.nodes[1].checks.items);
    assert_table(
        &report, 100,
        "dt: 4 nodes fit: 1 to 2 checks each and 10 compared, 41 ms\n"
        "dt:   dt-[1-4]  p5.48xlarge  8 GPUs  32 EFA  2048 GiB  Linux 6.8  driver 550.127  PASS\n"
        "dt:   env: 3 variables set\n"
        "dt:   result  node  check  found                     wanted  next step\n"
        "dt:   WARN    dt-2  shm    only 1 GiB free of 9 GiB  9 GiB   clean up\n");
    dt_report_fini(&report);

    report_init(&report, 4);
    break_efa(&report, 2);
    assert_table(
        &report, 120,
        "dt: 1 of 4 nodes is NOT fit (1 to 2 checks each and 10 compared, 41 ms). "
        "Nothing "
        "was started.\n"
        "dt:   node  check     found                            wanted           next step\n"
        "dt:   dt-3  efa-port  rdmap79s0 is DOWN (31 of 32 up)  32 ACTIVE ports  reboot or replace "
        "the "
        "instance\n"
        "dt: 3 nodes passed: dt-[1-2,4]\n"
        "dt: to run without it, add:  --exclude=dt-3            (exit code 65)\n");
    assert_table(&report, 70,
                 "dt: 1 of 4 nodes is NOT fit (1 to 2 checks each and 10 compared, 41 ms). "
                 "Nothing was started.\n"
                 "dt:   node  check     found           wanted           next step\n"
                 "dt:   dt-3  efa-port  rdmap79s0 is    32 ACTIVE ports  reboot or\n"
                 "dt:                   DOWN (31 of 32                   replace the\n"
                 "dt:                   up)                              instance\n"
                 "dt: 3 nodes passed: dt-[1-2,4]\n"
                 "dt: to run without it, add:  --exclude=dt-3            (exit code 65)\n");
    dt_report_fini(&report);
}

/* How a node was lost decides what is said and what to look at. */
static void lost_nodes_are_told_apart(void **state)
{
    struct dt_report report;
    (void)state;
    report_init(&report, 2);
    lose(&report, 1, "closed its connection after its report");
    report.nodes[1].how = DT_LOST_LEFT;
    assert_verdict(&report, DT_EXIT_INCOMPLETE, "dt-2",
                   "1 of 2 nodes went away after reporting: dt-2");
    assert_true(table_holds(&report, "1 of 2 nodes went away after reporting ("));
    assert_true(table_holds(&report, "its step ended there before the verdict"));
    lose(&report, 0, "no connection in 5.0 s");
    assert_true(table_holds(&report, "2 of 2 nodes did NOT report or went away ("));
    report.nodes[0].how = DT_LOST_FAILED;
    assert_false(table_holds(&report, "is dt installed there"));
    dt_report_fini(&report);

    report_init(&report, 2);
    lose(&report, 1, "no connection in 5.0 s");
    assert_true(table_holds(&report, "is dt installed there, and its way here open?"));
    free(report.nodes[1].name);
    report.nodes[1].name = NULL;
    assert_true(table_holds(&report,
                            "dt: 1 node never said its name, so none can be named to exclude; "
                            "'scontrol show job' lists the job's nodes (exit code 66)\n"));
    assert_false(table_holds(&report, "to blame"));
    dt_report_fini(&report);
}

static void no_line_is_wider_than_the_terminal(void **state)
{
    struct dt_report report;
    struct dt_verdict verdict;
    (void)state;
    report_init(&report, 64);
    for (size_t i = 0; i < 64; i += 5)
        add_check(&report.nodes[i], "fs-writable", DT_FAIL,
                  "can not write /fsx/home/someone/with/a/very/long/path/that/goes/on: Disk quota "
                  "exceeded",
                  "writable by the job's user",
                  "check that it is mounted on the node, its free space and your quota");
    verdict_of(&report, &verdict);
    for (int width = 80; width < 200; width += 7) {
        char *table = dt_report_table(&report, &verdict, width, false);
        char *row = strstr(table, "dt:   ");
        for (; row && strncmp(row, "dt:   ", 6) == 0; row = strchr(row, '\n') + 1) {
            size_t len = strcspn(row, "\n");
            assert_true(len <= (size_t)width);
            assert_true(row[len - 1] != ' ');
        }
        free(table);
    }
    dt_verdict_fini(&verdict);
    dt_report_fini(&report);
}

static void texts_can_not_drive_the_terminal(void **state)
{
    struct dt_report report;
    struct dt_verdict verdict;
    (void)state;
    report_init(&report, 3);
    report.nodes[0].lost = strdup("\x1b[2Jgone\r\n");
    report.nodes[1].env_summary = strdup("\x1b]0;title\a");
    verdict_of(&report, &verdict);
    char *plain = dt_report_table(&report, &verdict, 100, false);
    assert_null(strpbrk(plain, "\x1b\r\a"));
    assert_null(strpbrk(verdict.reason, "\x1b\r\n"));
    char *color = dt_report_table(&report, &verdict, 100, true);
    assert_non_null(strstr(color, "\x1b[1;31m"));
    assert_null(strstr(color, "\x1b[2J"));
    free(plain);
    free(color);
    dt_verdict_fini(&verdict);
    dt_report_fini(&report);
}

static void other_kinds_are_kept_apart(void **state)
{
    struct dt_report report;
    struct dt_verdict verdict;
    (void)state;
    report_init(&report, 40);
    for (size_t i = 0; i < 40; i++)
        dt_facts_set_int(&report.nodes[i].facts, "gpu.count", (long long)(i % 12) + 1);
    verdict_of(&report, &verdict);
    char *table = dt_report_table(&report, &verdict, 200, false);
    assert_non_null(strstr(table, "1 GPU "));
    assert_non_null(strstr(table, "of more kinds"));
    size_t lines = 0;
    for (char *c = table; *c; c++)
        lines += *c == '\n';
    assert_int_equal(lines, 9);
    free(table);
    dt_verdict_fini(&verdict);
    dt_report_fini(&report);
}

/* ---- the document against docs/report.schema.json: required keys and their types ---- */

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
                       one) if (!json_object_get(value, json_string_value(one)))
        fail_msg("%s lacks %s", where, json_string_value(one));
    json_t *properties = json_object_get(schema, "properties");
    json_object_foreach(properties, key, one) if (json_object_get(value, key))
        conform(one, root, json_object_get(value, key), key);
    const json_t *items = json_object_get(schema, "items");
    for (i = 0; items && i < json_array_size(value); i++)
        conform(items, root, json_array_get(value, i), where);
}

static void document_conforms_to_the_schema(void **state)
{
    struct dt_report report;
    struct dt_verdict verdict;
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
    verdict_of(&report, &verdict);
    json_t *document = dt_report_json(&report, &verdict);
    assert_non_null(document);
    conform(schema, schema, document, "document");
    json_t *nodes = json_object_get(document, "nodes");
    assert_int_equal(json_array_size(nodes), 4);
    assert_string_equal(json_string_value(json_object_get(json_array_get(nodes, 0), "result")),
                        "SKIP");
    assert_string_equal(json_string_value(json_object_get(json_array_get(nodes, 1), "result")),
                        "FAIL");
    assert_string_equal(json_string_value(json_object_get(json_array_get(nodes, 3), "result")),
                        "LOST");
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(document, "verdict"), "exclude")),
        "dt-[2-3]");
    json_decref(document);
    json_decref(schema);
    dt_verdict_fini(&verdict);
    dt_report_fini(&report);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verdicts),
        cmocka_unit_test(shared_failures_blame_nobody),
        cmocka_unit_test(tables),
        cmocka_unit_test(lost_nodes_are_told_apart),
        cmocka_unit_test(no_line_is_wider_than_the_terminal),
        cmocka_unit_test(texts_can_not_drive_the_terminal),
        cmocka_unit_test(other_kinds_are_kept_apart),
        cmocka_unit_test(document_conforms_to_the_schema),
    };
    return cmocka_run_group_tests_name("report", tests, NULL, NULL);
}
