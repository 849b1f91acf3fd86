/* SPDX-License-Identifier: Apache-2.0 */
/* What dt.conf has done with an unfit node: who is proposed, in which words, and whose turn it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/policy.h"

struct scene {
    struct dt_conf conf;
    struct dt_check_result items[8];
    struct dt_check_results results;
    struct dt_proposals proposals;
};

static void scene_conf(struct scene *scene, const char *text)
{
    struct dt_error err = {{0}};
    *scene = (struct scene){.results.items = scene->items};
    if (dt_conf_parse(&scene->conf, "dt.conf", text, strlen(text), &err) < 0)
        fail_msg("%s", err.text);
}

static void add(struct scene *scene, const char *check, enum dt_result result,
                enum dt_severity severity, const char *value)
{
    struct dt_check_result *r = &scene->items[scene->results.count++];
    *r = (struct dt_check_result){.name = check};
    dt_judge(r, result, "test");
    dt_judge_value(r, "%s", value);
    dt_judge_limit(r, "32 (p5.48xlarge)");
    dt_judge_severity(r, severity);
    assert_int_equal(dt_judge_finish(r), 0);
}

static void propose(struct scene *scene)
{
    struct dt_error err = {{0}};
    assert_int_equal(dt_policy_propose(&scene->proposals, &scene->conf, &scene->results, &err), 0);
}

static void scene_fini(struct scene *scene)
{
    for (size_t i = 0; i < scene->results.count; i++)
        dt_check_result_fini(&scene->items[i]);
    dt_proposals_fini(&scene->proposals);
    dt_conf_fini(&scene->conf);
}

#define ALL "drain-on = {\"MONITOR\", \"RESET\", \"REBOOT\", \"REPLACE\"}\n"

static void by_default_nothing_drains(void **state)
{
    struct scene s;
    (void)state;
    scene_conf(&s, "");
    add(&s, "gpu-count", DT_FAIL, DT_SEVERITY_REPLACE, "7 GPUs");
    propose(&s);
    assert_int_equal(s.proposals.count, 0);
    scene_fini(&s);
}

static void failures_of_the_node_drain_worst_first(void **state)
{
    struct scene s;
    (void)state;
    scene_conf(&s, "drain-on = {\"RESET\", \"REPLACE\"}");
    add(&s, "gpu-recovery", DT_FAIL, DT_SEVERITY_RESET, "GPU 3: reset");
    add(&s, "efa-port", DT_FAIL, DT_SEVERITY_REBOOT, "DOWN"); /* not named by drain-on */
    add(&s, "efa-count", DT_FAIL, DT_SEVERITY_REPLACE, "31 EFA devices");
    add(&s, "memory", DT_UNKNOWN, DT_SEVERITY_REPLACE, "not known");
    add(&s, "nvlink", DT_WARN, DT_SEVERITY_REPLACE, "slow");
    propose(&s);
    assert_int_equal(s.proposals.count, 2);
    assert_string_equal(s.proposals.items[0].check, "efa-count");
    assert_string_equal(s.proposals.items[0].state, "DRAIN");
    assert_string_equal(s.proposals.items[0].reason,
                        "dt: efa-count: 31 EFA devices; wanted: 32 (p5.48xlarge) (REPLACE)");
    assert_false(s.proposals.items[0].print);
    assert_string_equal(s.proposals.items[1].check, "gpu-recovery");
    scene_fini(&s);
}

static void what_a_job_brings_along_drains_nothing(void **state)
{
    static const char *const of_jobs[] = {"memlock",     "nofile", "shm",
                                          "fs-writable", "env",    "mounts"};
    struct scene s;
    (void)state;
    scene_conf(&s, ALL);
    for (size_t i = 0; i < sizeof of_jobs / sizeof *of_jobs; i++) {
        assert_non_null(dt_check_find(of_jobs[i]));
        add(&s, of_jobs[i], DT_FAIL, DT_SEVERITY_REBOOT, "bad");
    }
    add(&s, "kernel", DT_FAIL, DT_SEVERITY_REPLACE, "odd"); /* a comparison, no check of the node */
    propose(&s);
    assert_int_equal(s.proposals.count, 0);
    scene_fini(&s);
}

static void hyperpod_has_its_own_words(void **state)
{
    struct scene s;
    (void)state;
    scene_conf(&s, ALL "drain-style = \"hyperpod\"");
    add(&s, "numa-balancing", DT_FAIL, DT_SEVERITY_MONITOR, "on");
    add(&s, "gpu-recovery", DT_FAIL, DT_SEVERITY_RESET, "GPU 3: reset");
    add(&s, "efa-count", DT_FAIL, DT_SEVERITY_REPLACE, "31 EFA devices");
    propose(&s);
    assert_int_equal(s.proposals.count, 3);
    assert_string_equal(s.proposals.items[0].reason, "Action:Replace");
    assert_string_equal(s.proposals.items[0].state, "FAIL");
    assert_string_equal(s.proposals.items[1].reason, "Action:Reboot");
    assert_string_equal(s.proposals.items[2].state, "DRAIN");
    assert_int_equal(strncmp(s.proposals.items[2].reason, "dt: numa-balancing: on", 22), 0);
    scene_fini(&s);
}

static void a_reason_is_short_and_plain(void **state)
{
    char text[2000];
    struct scene s;
    (void)state;
    for (size_t i = 0; i + 1 < sizeof text; i += 2)
        memcpy(text + i, "\xc3\xa9", 2); /* two bytes a character */
    text[1998] = '\0';
    memcpy(text, "a\nb\033[2J", 7);
    scene_conf(&s, ALL "drain-prefix = \"site:\"");
    add(&s, "efa-count", DT_FAIL, DT_SEVERITY_REPLACE, text);
    propose(&s);
    const char *reason = s.proposals.items[0].reason;
    assert_in_range(strlen(reason), DT_REASON_MAX - 4, DT_REASON_MAX);
    assert_string_equal(reason + strlen(reason) - 3, "...");
    assert_int_equal((unsigned char)reason[strlen(reason) - 4], 0xa9);
    assert_int_equal(strncmp(reason, "site: efa-count: a?b?[2J", 24), 0);
    scene_fini(&s);
}

static void the_command_can_be_pasted(void **state)
{
    struct dt_proposal proposal = {.state = (char *)"DRAIN",
                                   .reason = (char *)"dt: it's $(reboot) `x` \\ \"y\""};
    (void)state;
    char *command = dt_policy_command(&proposal, "dt-3");
    assert_string_equal(command, "scontrol update NodeName='dt-3' State=DRAIN "
                                 "Reason='dt: it'\\''s $(reboot) `x` \\ \"y\"'");
    free(command);
}

static void proposals_travel_and_are_judged(void **state)
{
    static const char *const bad[] = {
        "{}",
        "[1]",
        "[{\"check\":\"no-such\",\"state\":\"DRAIN\",\"reason\":\"x\",\"print\":false}]",
        "[{\"check\":\"nvlink\",\"state\":\"DOWN\",\"reason\":\"x\",\"print\":false}]",
        "[{\"check\":\"nvlink\",\"state\":\"DRAIN\",\"print\":false}]",
        "[1,2,3,4,5,6,7,8,9]",
    };
    struct scene s;
    struct dt_proposals taken;
    struct dt_error err;
    (void)state;
    scene_conf(&s, ALL "drain-how = \"print\"");
    add(&s, "efa-count", DT_FAIL, DT_SEVERITY_REPLACE, "31 EFA devices");
    propose(&s);
    json_t *array = dt_proposals_to_json(&s.proposals);
    assert_int_equal(dt_proposals_from_json(&taken, array, &err), 0);
    assert_int_equal(taken.count, 1);
    assert_true(taken.items[0].print);
    assert_string_equal(taken.items[0].reason, s.proposals.items[0].reason);
    dt_proposals_fini(&taken);
    json_decref(array);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        array = json_loads(bad[i], 0, NULL);
        assert_non_null(array);
        assert_int_equal(dt_proposals_from_json(&taken, array, &err), -1);
        json_decref(array);
    }
    array = json_loads(
        "[{\"check\":\"nvlink\",\"state\":\"DRAIN\",\"reason\":\"a\\u001b[2J\",\"print\":"
        "true}]",
        0, NULL);
    assert_int_equal(dt_proposals_from_json(&taken, array, &err), 0);
    assert_string_equal(taken.items[0].reason, "a?[2J");
    dt_proposals_fini(&taken);
    json_decref(array);
    scene_fini(&s);
}

static enum dt_turn turn(const struct dt_ticket *others, size_t count, const char *node,
                         long long max)
{
    size_t before;
    return dt_policy_turn(others, count, node, 100000, max, 3600, &before);
}

static void the_limit_counts_drains_and_tickets(void **state)
{
    const struct dt_ticket drained[] = {
        {"a", 99000, true}, {"b", 96401, true}, {"c", 96400, true}, /* an hour ago: no more */
    };
    const struct dt_ticket asks[] = {{"b", 99990, false}, {"d", 99990, false}};
    const struct dt_ticket stale[] = {{"b", 99400, false}};
    (void)state;
    assert_int_equal(turn(drained, 3, "x", 3), DT_TURN_NOW);
    assert_int_equal(turn(drained, 3, "x", 2), DT_TURN_NEVER);
    assert_int_equal(turn(NULL, 0, "x", 1), DT_TURN_NOW);
    assert_int_equal(turn(NULL, 0, "x", 0), DT_TURN_NEVER);
    assert_int_equal(turn(asks, 2, "c", 3), DT_TURN_NOW);
    assert_int_equal(turn(asks, 2, "c", 2), DT_TURN_WAIT);  /* d gives up, c goes on */
    assert_int_equal(turn(asks, 2, "e", 2), DT_TURN_NEVER); /* c and d come first */
    assert_int_equal(turn(asks, 2, "a", 1), DT_TURN_WAIT);
    assert_int_equal(turn(stale, 1, "c", 1), DT_TURN_NOW);
}

/* N nodes, steps of all of them in any order: never more than the limit are drained, and none waits
 * for ever. Each node writes its ticket, looks, and does what it is told, one step at a time. */
static void no_order_of_steps_passes_the_limit(void **state)
{
    enum { NODES = 5, ROUNDS = 20000 };
    static const char *const names[NODES] = {"a", "b", "c", "d", "e"};
    unsigned seed = 1;
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        enum { START, ASKS, MAY_DRAIN, DRAINED, GAVE_UP } at[NODES] = {START};
        int limit = 1 + round % 3, left = NODES, steps = 0, drained = 0;
        while (left > 0 && steps++ < 1000) {
            int i = rand_r(&seed) % NODES;
            struct dt_ticket others[NODES];
            size_t count = 0;
            for (int k = 0; k < NODES; k++) {
                if (k != i && (at[k] == ASKS || at[k] == MAY_DRAIN || at[k] == DRAINED))
                    others[count++] = (struct dt_ticket){names[k], 99999, at[k] == DRAINED};
            }
            if (at[i] == START) {
                at[i] = ASKS;
            } else if (at[i] == MAY_DRAIN) { /* what it saw may be old by now */
                at[i] = DRAINED;
                drained++;
                left--;
            } else if (at[i] == ASKS) {
                enum dt_turn told = turn(others, count, names[i], limit);
                at[i] = told == DT_TURN_NOW ? MAY_DRAIN : told == DT_TURN_NEVER ? GAVE_UP : ASKS;
                left -= at[i] == GAVE_UP;
            }
        }
        assert_int_equal(left, 0);
        assert_in_range(drained, 1, limit);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_default_nothing_drains),
        cmocka_unit_test(failures_of_the_node_drain_worst_first),
        cmocka_unit_test(what_a_job_brings_along_drains_nothing),
        cmocka_unit_test(hyperpod_has_its_own_words),
        cmocka_unit_test(a_reason_is_short_and_plain),
        cmocka_unit_test(the_command_can_be_pasted),
        cmocka_unit_test(proposals_travel_and_are_judged),
        cmocka_unit_test(the_limit_counts_drains_and_tickets),
        cmocka_unit_test(no_order_of_steps_passes_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
