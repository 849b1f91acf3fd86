/* SPDX-License-Identifier: Apache-2.0 */
/* The registry of checks: rows, levels, choosing by name; and results as JSON, there and back. */
#include "check_node.h"

static size_t checks_up_to(enum dt_level level)
{
    size_t count = 0;
    for (const struct dt_check *check = dt_checks; check->name; check++)
        count += check->level <= level;
    return count;
}

/* Each row of the registry is whole, and found by its name. */
static void registry_is_whole(void **state)
{
    (void)state;
    for (const struct dt_check *check = dt_checks; check->name; check++) {
        assert_true(check->level >= DT_LEVEL_FAST && check->level <= DT_LEVEL_DEEP);
        assert_true(check->severity > DT_SEVERITY_NONE);
        assert_true(strlen(check->explain) > strlen(check->summary));
        assert_ptr_equal(dt_check_find(check->name), check);
    }
    assert_int_equal(dt_check_count(), checks_up_to(DT_LEVEL_DEEP));
    assert_null(dt_check_find("gpu"));
}

static void severity_says_what_to_do(void **state)
{
    static const struct {
        const char *facts, *check;
        enum dt_severity severity;
    } rows[] = {
        {"{'last-gpu':{'recovery':1}}", "gpu-recovery", DT_SEVERITY_RESET},
        {"{'last-gpu':{'recovery':2}}", "gpu-recovery", DT_SEVERITY_REBOOT},
        {"{'last-gpu':{'rows_failed':1}}", "gpu-rows", DT_SEVERITY_REPLACE},
        {"{'last-gpu':{'rows_pending':1}}", "gpu-rows", DT_SEVERITY_RESET},
        {"{'efa.count':31}", "efa-count", DT_SEVERITY_REPLACE},
        {"{'efa.count':null}", "efa-count", DT_SEVERITY_MONITOR},
        {"{'clock.synced':0}", "clock-sync", DT_SEVERITY_MONITOR},
        {"{}", "efa-count", DT_SEVERITY_NONE},
        {"{}", "env", DT_SEVERITY_NONE},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct dt_check_results results;
        json_t *doc = with_fault(rows[i].facts);
        run(&results, doc, &p5);
        assert_int_equal(named(&results, rows[i].check)->severity, rows[i].severity);
        dt_check_results_fini(&results);
        json_decref(doc);
    }
}

static void checks_are_chosen_by_name(void **state)
{
    struct dt_facts facts = {.doc = good_facts()};
    struct dt_check_results results;
    struct dt_check_choice choice = {0};
    struct dt_error err;
    struct dt_check_context context = {
        .facts = &facts, .instance = &p5, .conf = &conf, .level = DT_LEVEL_FAST, .choice = &choice};
    (void)state;
    assert_int_equal(dt_check_choose(&choice.only, "nvme,shm", "--only", &err), 0);
    assert_int_equal(dt_check_choose(&choice.only, "memory", "--only", &err), 0);
    assert_int_equal(dt_check_choose(&choice.skip, "memory", "--skip", &err), 0);
    assert_int_equal(dt_check_run(&results, &context, &err), 0);
    assert_int_equal(results.count, 2);
    assert_string_equal(results.items[0].name, "shm");
    assert_string_equal(results.items[1].name, "nvme"); /* though its level is full */
    dt_check_results_fini(&results);

    assert_int_equal(dt_check_choose(&choice.only, "shm,gpu-coun", "--only", &err), -1);
    assert_string_equal(err.text, "--only: there is no check 'gpu-coun'; did you mean gpu-count?");
    assert_int_equal(dt_check_choose(&choice.only, "", "--only", &err), -1);
    assert_int_equal(dt_check_choose(&choice.only, "shm,", "--only", &err), -1);
    dt_check_choice_fini(&choice);

    context.choice = NULL;
    context.outside_job = true;
    json_object_set_new(facts.doc, "limit.memlock", json_integer(1));
    assert_int_equal(dt_check_run(&results, &context, &err), 0);
    assert_int_equal(named(&results, "memlock")->result, DT_SKIP);
    assert_string_equal(named(&results, "memlock")->value, "judged in the job's own step");
    assert_int_equal(named(&results, "efa-count")->result, DT_PASS);
    dt_check_results_fini(&results);
    dt_facts_fini(&facts);
}

static void levels_choose_checks(void **state)
{
    struct dt_facts facts = {.doc = good_facts()};
    struct dt_check_results results;
    struct dt_error err;
    enum dt_level level;
    struct dt_check_context context = {
        .facts = &facts, .instance = &p5, .conf = &conf, .level = DT_LEVEL_FAST};
    (void)state;
    assert_int_equal(dt_check_run(&results, &context, &err), 0);
    assert_int_equal(results.count, checks_up_to(DT_LEVEL_FAST));
    dt_check_results_fini(&results);
    context.level = DT_LEVEL_FULL;
    assert_int_equal(dt_check_run(&results, &context, &err), 0);
    assert_int_equal(results.count, checks_up_to(DT_LEVEL_FULL));
    dt_check_results_fini(&results);
    dt_facts_fini(&facts);
    assert_int_equal(dt_level_parse("Full", &level), 0);
    assert_int_equal(level, DT_LEVEL_FULL);
    assert_int_equal(dt_level_parse("fuller", &level), -1);
    assert_int_equal(dt_level_parse("", &level), -1);
}

static void json_there_and_back(void **state)
{
    struct dt_check_results results, back;
    struct dt_error err = {0};
    size_t numbers = 0;
    json_t *doc = with_fault("{'efa.count':31}");
    (void)state;
    run(&results, doc, &p5);
    json_t *json = dt_check_results_to_json(&results);
    assert_int_equal(dt_check_results_from_json(&back, json, &err), 0);
    assert_int_equal(back.count, results.count);
    for (size_t i = 0; i < back.count; i++) {
        assert_ptr_equal(back.items[i].name, results.items[i].name);
        assert_int_equal(back.items[i].result, results.items[i].result);
        assert_string_equal(back.items[i].value, results.items[i].value);
        assert_string_equal(back.items[i].next, results.items[i].next);
        assert_string_equal(back.items[i].message, results.items[i].message);
        assert_int_equal(back.items[i].severity, results.items[i].severity);
        assert_int_equal(back.items[i].number.unit, results.items[i].number.unit);
        assert_int_equal(back.items[i].number.value, results.items[i].number.value);
        assert_int_equal(back.items[i].number.limit, results.items[i].number.limit);
        numbers += back.items[i].number.unit != DT_UNIT_NONE;
    }
    assert_true(numbers > 10);
    dt_check_results_fini(&back);
    dt_check_results_fini(&results);

    json_t *first = json_array_get(json, 0);
    json_object_set_new(first, "value", json_string("\x1b[31mred\r\n"));
    assert_int_equal(dt_check_results_from_json(&back, json, &err), 0);
    assert_string_equal(back.items[0].value, "?[31mred??");
    dt_check_results_fini(&back);
    json_object_set_new(first, "number",
                        json_pack("{s:s,s:i,s:i}", "unit", "furlong", "value", 1, "limit", 2));
    assert_int_equal(dt_check_results_from_json(&back, json, &err), -1);
    assert_string_equal(err.text,
                        "check gpu-count has a number without value, limit or a known unit");
    json_object_set_new(first, "number", json_string("8 of 8"));
    assert_int_equal(dt_check_results_from_json(&back, json, &err), -1);
    json_object_del(first, "number");
    json_object_set_new(first, "severity", json_string("AWFUL"));
    assert_int_equal(dt_check_results_from_json(&back, json, &err), -1);
    json_object_del(first, "severity");
    json_object_del(first, "message");
    json_object_set_new(first, "result", json_string("FAIL"));
    assert_int_equal(dt_check_results_from_json(&back, json, &err), 0);
    assert_int_equal(back.items[0].severity, DT_SEVERITY_REPLACE); /* the registry's */
    assert_non_null(strstr(back.items[0].message, "gpu-count: ?[31mred"));
    dt_check_results_fini(&back);
    json_object_set_new(first, "name", json_string("no-such-check"));
    assert_int_equal(dt_check_results_from_json(&back, json, &err), -1);
    assert_non_null(strstr(err.text, "no-such-check"));
    json_object_set_new(first, "name", json_string("shm"));
    json_object_set_new(first, "result", json_string("GREAT"));
    assert_int_equal(dt_check_results_from_json(&back, json, &err), -1);
    json_object_del(first, "result");
    assert_int_equal(dt_check_results_from_json(&back, json, &err), -1);
    json_decref(json);
    json = json_object();
    assert_int_equal(dt_check_results_from_json(&back, json, &err), -1);
    json_decref(json);
    json_decref(doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(registry_is_whole),        cmocka_unit_test(levels_choose_checks),
        cmocka_unit_test(severity_says_what_to_do), cmocka_unit_test(checks_are_chosen_by_name),
        cmocka_unit_test(json_there_and_back),
    };
    return cmocka_run_group_tests_name("check_registry", tests, NULL, NULL);
}
