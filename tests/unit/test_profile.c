/* SPDX-License-Identifier: Apache-2.0 */
/* Profiles: what is learned fits, each kind of difference is found with its line, and mistakes are told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "check/check.h"
#include "profile/profile.h"

static struct dt_facts facts_of(const char *text)
{
    struct dt_facts facts = {0};
    struct dt_error err;
    json_t *doc = json_loads(text, 0, NULL);
    assert_non_null(doc);
    assert_int_equal(dt_facts_from_json(&facts, doc, &err), 0);
    json_decref(doc);
    return facts;
}

static void judge(struct dt_check_results *results, const char *profile_text,
                  const char *facts_text, bool outside_job)
{
    struct dt_profile profile;
    struct dt_error err = {{0}};
    struct dt_conf conf = {0};
    struct dt_facts facts = facts_of(facts_text);
    struct dt_check_choice choice = {0};
    if (dt_profile_parse(&profile, "p.conf", profile_text, strlen(profile_text), &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(dt_check_choose(&choice.only, "profile", "test", &err), 0);
    struct dt_check_context context = {.facts = &facts,
                                       .conf = &conf,
                                       .profile = &profile,
                                       .level = DT_LEVEL_FAST,
                                       .choice = &choice,
                                       .outside_job = outside_job};
    assert_int_equal(dt_check_run(results, &context, &err), 0);
    assert_int_equal(results->count, 1);
    dt_check_choice_fini(&choice);
    dt_profile_fini(&profile);
    dt_facts_fini(&facts);
}

static void what_is_learned_fits(void **state)
{
    static const char node[] =
        "{\"node.name\":\"n1\",\"instance.type\":\"p5.48xlarge\",\"kernel.release\":\"it's "
        "\\\\ \\\"6\\\" ${HOME}\",\"gpu.count\":8,\"mem.total_mib\":2000000,\"limit.memlock\":-1,"
        "\"limit.nofile\":1024}";
    struct dt_facts facts = facts_of(node);
    struct dt_check_results results;
    (void)state;
    char *text = dt_profile_learn(&facts);
    assert_non_null(strstr(text, "on n1."));
    assert_non_null(strstr(text, "\ngpu-count = 8\n"));
    judge(&results, text, node, false);
    assert_string_equal(dt_result_name(results.items[0].result), "PASS");
    assert_string_equal(results.items[0].value, "6 things are as in p.conf");
    dt_check_results_fini(&results);
    free(text);
    dt_facts_fini(&facts);
}

static void differences_are_named(void **state)
{
    static const struct {
        const char *profile, *facts;
        enum dt_result result;
        const char *value, *limit;
    } rows[] = {
        {"# a\nkernel = '6.8'\n", "{\"kernel.release\":\"6.9\"}", DT_FAIL, "kernel is 6.9",
         "kernel 6.8 (p.conf:2)"},
        {"kernel = '6.8'", "{}", DT_UNKNOWN, "kernel is not known", "kernel 6.8 (p.conf:1)"},
        {"gpu-count = 8", "{\"gpu.count\":7}", DT_FAIL, "gpu-count is 7", "gpu-count 8"},
        {"gpu-count = 8", "{\"gpu.count\":8}", DT_PASS, "1 things", ""},
        {"memory-mib = 1000", "{\"mem.total_mib\":980}", DT_PASS, "1 things", ""},
        {"memory-mib = 1000", "{\"mem.total_mib\":979}", DT_FAIL, "memory-mib is 979", "1000"},
        {"nofile = 1024", "{\"limit.nofile\":1023}", DT_WARN, "nofile is 1023", "1024"},
        {"nofile = 1024", "{\"limit.nofile\":2048}", DT_PASS, "1 things", ""},
        {"nofile = 1024", "{\"limit.nofile\":-1}", DT_PASS, "1 things", ""},
        {"memlock = -1", "{\"limit.memlock\":65536}", DT_WARN, "memlock is 65536", "-1"},
        {"memlock = -1", "{\"limit.memlock\":-1}", DT_PASS, "1 things", ""},
        {"modules = 'ena'", "{\"module.list\":\"efa\"}", DT_WARN, "modules is efa", "ena"},
        /* the worst of several, the first three by name */
        {"modules = 'ena'\nkernel = 'x'\ngpu-count = 1\ncpu-count = 2\n",
         "{\"module.list\":\"efa\",\"kernel.release\":\"y\",\"gpu.count\":2,\"cpu.online\":3}",
         DT_FAIL, "kernel is y, gpu-count is 2, cpu-count is 3, and 1 more",
         "kernel x (p.conf:2), gpu-count 1 (p.conf:3), cpu-count 2 (p.conf:4)"},
        {"instance-type = 'p5.48xlarge'\nkernel = 'x'",
         "{\"instance.type\":\"m5.large\",\"kernel.release\":\"y\"}", DT_SKIP,
         "p.conf is for p5.48xlarge", ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct dt_check_results results;
        judge(&results, rows[i].profile, rows[i].facts, false);
        const struct dt_check_result *result = &results.items[0];
        if (result->result != rows[i].result || !strstr(result->value, rows[i].value) ||
            !strstr(result->limit, rows[i].limit))
            fail_msg("%s: %s '%s', wanted '%s'", rows[i].profile, dt_result_name(result->result),
                     result->value, result->limit);
        dt_check_results_fini(&results);
    }
}

static void limits_of_a_process_are_the_job_s(void **state)
{
    struct dt_check_results results;
    (void)state;
    judge(&results, "nofile = 1024\nkernel = 'x'", "{\"limit.nofile\":1,\"kernel.release\":\"x\"}",
          true);
    assert_int_equal(results.items[0].result, DT_PASS);
    dt_check_results_fini(&results);
}

static void mistakes_are_told(void **state)
{
    static const char *const rows[][2] = {
        {"kernel = 'a'\nkernal = 'b'\n", "p.conf:2: "},
        {"gpu-count = 8\ngpu-count = 9\n", "p.conf:2: "},
        {"\ngpu-count = many\n", "p.conf:2: "},
        {"gpu-count = -2\n", "must be -1 (unlimited) or more"},
        {"kernel = ''\n", "option 'kernel' is empty"},
        {"kernel = 'a\n", "p.conf:"},
        {"# nothing\n", "nothing in it to judge by"},
        {"", "nothing in it to judge by"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct dt_profile profile;
        struct dt_error err = {{0}};
        assert_int_equal(dt_profile_parse(&profile, "p.conf", rows[i][0], strlen(rows[i][0]), &err),
                         -1);
        if (!strstr(err.text, rows[i][1]))
            fail_msg("'%s' gives '%s'", rows[i][0], err.text);
    }
}

/* Each line is found, however the file is laid out. */
static void lines_are_those_of_the_file(void **state)
{
    static const char text[] = "/* kernel = 'no' */ mtu = 9001 # gpu-count = 2\n"
                               "topology = 'a\n gpu-count = 3'\n\ngpu-count\n= 4 kernel='x'";
    struct dt_profile profile;
    struct dt_error err = {{0}};
    (void)state;
    if (dt_profile_parse(&profile, "p.conf", text, strlen(text), &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(profile.count, 4); /* in the order of the table */
    assert_int_equal(profile.items[0].line, 6);
    assert_int_equal(profile.items[1].line, 5);
    assert_int_equal(profile.items[2].line, 2);
    assert_int_equal(profile.items[3].line, 1);
    dt_profile_fini(&profile);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_learned_fits),
        cmocka_unit_test(differences_are_named),
        cmocka_unit_test(limits_of_a_process_are_the_job_s),
        cmocka_unit_test(mistakes_are_told),
        cmocka_unit_test(lines_are_those_of_the_file),
    };
    return cmocka_run_group_tests_name("profile", tests, NULL, NULL);
}
