/* SPDX-License-Identifier: Apache-2.0 */
/* The check of the environment: what the rules refuse or warn of becomes its result. */
#include "check_node.h"

static void judge_env(struct dt_check_result *copy, struct dt_env_item *items, size_t count)
{
    struct dt_facts facts = {.doc = json_object()};
    struct dt_env_plan plan = {.items = items, .count = count};
    struct dt_check_context context = {
        .facts = &facts, .conf = &conf, .env = &plan, .level = DT_LEVEL_FAST};
    struct dt_check_results results;
    struct dt_error err;
    assert_int_equal(dt_check_run(&results, &context, &err), 0);
    struct dt_check_result *env = (struct dt_check_result *)named(&results, "env");
    *copy = *env;
    *env = (struct dt_check_result){.name = "env"};
    dt_check_results_fini(&results);
    dt_facts_fini(&facts);
}

static struct dt_env_item item(const char *variable, const char *value, enum dt_env_action action,
                               const char *rule, const char *reason, const char *fix)
{
    return (struct dt_env_item){.variable = (char *)variable,
                                .value = (char *)value,
                                .action = action,
                                .rule = (char *)rule,
                                .reason = (char *)reason,
                                .harm = (char *)"",
                                .fix = (char *)fix,
                                .source = (char *)"a source"};
}

static void refused_variable_fails(void **state)
{
    struct dt_env_item items[] = {
        item("NCCL_PROTO", "simple", DT_ENV_WARN, "r0", "slow", "unset NCCL_PROTO"),
        item("FI_EFA_MTU_SIZE", "1", DT_ENV_REFUSE, "mtu-size", "taken away",
             "unset FI_EFA_MTU_SIZE"),
        item("FI_EFA_IFACE", "", DT_ENV_REFUSE, "r2", "empty", "unset FI_EFA_IFACE"),
    };
    struct dt_check_result env;
    (void)state;
    items[1].harm = (char *)"it aborts";
    judge_env(&env, items, 1); /* a warning lets the job run */
    assert_int_equal(env.result, DT_PASS);
    dt_check_result_fini(&env);
    judge_env(&env, items, 2);
    assert_int_equal(env.result, DT_FAIL);
    assert_string_equal(env.value, "FI_EFA_MTU_SIZE=1 (taken away: it aborts)");
    assert_string_equal(env.limit, "what rule mtu-size allows");
    assert_string_equal(env.next, "unset FI_EFA_MTU_SIZE, or run with --dt-env=off");
    assert_string_equal(env.source, "a source");
    dt_check_result_fini(&env);
    judge_env(&env, items, 3);
    assert_non_null(strstr(env.value, "FI_EFA_MTU_SIZE=1"));
    assert_non_null(strstr(env.next, "--dt-env=explain shows the others"));
    dt_check_result_fini(&env);
}

/* The admin's policy, the origin of the variable, and rules that are not those of the files. */
static void what_is_known_about_the_environment_is_told(void **state)
{
    struct dt_env_item items[] = {item("FI_EFA_MTU_SIZE", "1", DT_ENV_REFUSE, "mtu-size",
                                       "taken away", "unset FI_EFA_MTU_SIZE")};
    struct dt_env_plan plan = {.items = items, .count = 1};
    struct dt_conf warn_only = conf;
    struct dt_check_result env = {.name = "env"};
    struct dt_check_context context = {
        .conf = &warn_only, .env = &plan, .env_origin = "/etc/nccl.conf:3"};
    (void)state;
    warn_only.env_on_abort = DT_POLICY_WARN;
    dt_check_env(&context, &env);
    assert_int_equal(dt_judge_finish(&env), 0);
    assert_int_equal(env.result, DT_WARN);
    assert_string_equal(env.value, "FI_EFA_MTU_SIZE=1 from /etc/nccl.conf:3 (taken away)");
    assert_string_equal(env.next, "unset FI_EFA_MTU_SIZE");
    dt_check_result_fini(&env);

    env = (struct dt_check_result){.name = "env"};
    plan.count = 0;
    context.env_warning = "env-rules.conf:7: no";
    dt_check_env(&context, &env);
    assert_int_equal(dt_judge_finish(&env), 0);
    assert_int_equal(env.result, DT_WARN);
    assert_string_equal(env.value, "env-rules.conf:7: no");
    dt_check_result_fini(&env);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refused_variable_fails),
        cmocka_unit_test(what_is_known_about_the_environment_is_told),
    };
    return cmocka_run_group_tests_name("check_env", tests, NULL, NULL);
}
