/* SPDX-License-Identifier: Apache-2.0 */
/* Verdict and table: what a user reads at the end. */
#include "report_scene.h"

#include "base/exitcode.h"

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

/* The brake at its edge: more than two nodes, and more than a fifth of all. */
static void what_a_comparison_finds_can_be_shared_too(void **state)
{
    struct dt_report report;
    (void)state;
    report_init(&report, 15);
    for (size_t i = 0; i < 3; i++)
        add_finding(&report, i, "efa-driver", DT_FAIL, "2.10.0");
    assert_verdict(&report, DT_EXIT_UNFIT, "dt-[1-3]", "3 of 15");
    add_finding(&report, 3, "efa-driver", DT_FAIL, "2.10.0");
    assert_verdict(&report, DT_EXIT_UNFIT, NULL,
                   "shared by 4 of 15 nodes, so not their own: efa-driver");
    dt_report_fini(&report);
}

static void so_can_silence(void **state)
{
    struct dt_report report;
    (void)state;
    report_init(&report, 10);
    lose(&report, 4, "no connection in 10.0 s");
    lose(&report, 7, "no connection in 10.0 s");
    assert_verdict(&report, DT_EXIT_INCOMPLETE, "dt-[5,8]", "2 of 10");
    lose(&report, 9, "no connection in 10.0 s");
    assert_verdict(&report, DT_EXIT_INCOMPLETE, NULL, "shared by 3 of 10 nodes");
    dt_report_fini(&report);
}

static void would_drain(struct dt_report_node *node, const char *check, bool print)
{
    node->drains.items =
        realloc(node->drains.items, (node->drains.count + 1) * sizeof *node->drains.items);
    assert_non_null(node->drains.items);
    node->drains.items[node->drains.count++] = (struct dt_proposal){.check = strdup(check),
                                                                    .state = strdup("DRAIN"),
                                                                    .reason = strdup("dt: why"),
                                                                    .print = print};
}

static void assert_drains(const struct dt_report *report, const char *nodes, const char *told)
{
    struct dt_verdict verdict;
    verdict_of(report, &verdict);
    if (nodes)
        assert_string_equal(verdict.drain, nodes);
    else
        assert_null(verdict.drain);
    char *table = dt_report_table(report, &verdict, 120, false);
    if (!strstr(table, told))
        fail_msg("'%s' is not in: %s", told, table);
    free(table);
    dt_verdict_fini(&verdict);
}

static void nodes_drain_for_what_is_their_own(void **state)
{
    struct dt_report report;
    (void)state;
    report_init(&report, 15);
    for (size_t i = 0; i < 3; i++) {
        break_efa(&report, i);
        would_drain(&report.nodes[i], "efa-port", false);
    }
    assert_drains(&report, "dt-[1-3]", "dt: dt-2 drains itself, as dt.conf asks for efa-port");
    break_efa(&report, 3);
    would_drain(&report.nodes[3], "efa-port", false);
    assert_drains(&report, NULL, "dt: so none of the 4 is drained");
    /* one of the four has something of its own, too */
    add_check(&report.nodes[1], "nvlink", DT_FAIL, "17 links", "18", "reboot");
    would_drain(&report.nodes[1], "nvlink", false);
    assert_drains(&report, "dt-2", "dt: dt-2 drains itself, as dt.conf asks for nvlink");
    report.nodes[1].drains.items[1].print = true;
    assert_drains(&report, NULL, "scontrol update NodeName='dt-2' State=DRAIN Reason='dt: why'");
    /* a node that is gone can not */
    report.nodes[1].lost = strdup("gone");
    report.nodes[1].how = DT_LOST_LEFT;
    assert_drains(&report, NULL, "went away");
    dt_report_fini(&report);
}

static void names_stay_whole_where_there_is_room(void **state)
{
    struct dt_report report;
    struct dt_verdict verdict;
    (void)state;
    report_init(&report, 4);
    for (size_t i = 0; i < 4; i++) {
        free(report.nodes[i].name);
        assert_true(asprintf(&report.nodes[i].name, "queue1-st-p5-%zu", i + 1) > 0);
        add_check(&report.nodes[i], "fs-mounted", DT_FAIL, "nothing is mounted at /fsx",
                  "a file system at each of required-mounts", "mount it, and look at its server");
    }
    verdict_of(&report, &verdict);
    char *table = dt_report_table(&report, &verdict, 80, false);
    if (!strstr(table, "dt:   queue1-st-p5-[1-4]  fs-mounted"))
        fail_msg("the name is folded: %s", table);
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
    report.nodes[0].how = DT_LOST_CONFIG;
    assert_true(table_holds(&report, "files of dt without a mistake"));
    assert_true(table_holds(&report, "tell the admin, or run without --dt-validate"));
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

static void a_wide_terminal_has_the_source_too(void **state)
{
    struct dt_report report;
    struct dt_verdict verdict;
    (void)state;
    report_init(&report, 3);
    break_efa(&report, 1);
    verdict_of(&report, &verdict);
    for (int width = 139; width <= 140; width++) {
        char *table = dt_report_table(&report, &verdict, width, false);
        assert_int_equal(strstr(table, "  source  next step") != NULL, width == 140);
        assert_int_equal(strstr(table, "  test    reboot") != NULL, width == 140);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verdicts),
        cmocka_unit_test(shared_failures_blame_nobody),
        cmocka_unit_test(what_a_comparison_finds_can_be_shared_too),
        cmocka_unit_test(so_can_silence),
        cmocka_unit_test(nodes_drain_for_what_is_their_own),
        cmocka_unit_test(names_stay_whole_where_there_is_room),
        cmocka_unit_test(a_wide_terminal_has_the_source_too),
        cmocka_unit_test(tables),
        cmocka_unit_test(lost_nodes_are_told_apart),
        cmocka_unit_test(no_line_is_wider_than_the_terminal),
        cmocka_unit_test(texts_can_not_drive_the_terminal),
        cmocka_unit_test(other_kinds_are_kept_apart),
    };
    return cmocka_run_group_tests_name("report", tests, NULL, NULL);
}
