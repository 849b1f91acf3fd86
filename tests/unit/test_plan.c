/* SPDX-License-Identifier: Apache-2.0 */
/* The texts between plugin and dt-node: what is accepted, what is refused and with which words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plan/plan.h"

#define HEAD  "dt-request 1\njob 1234 step 0\nnode p5-3 id 2 of 4\n"
#define TASKS "tasks local 2 total 8 first 4\n"
#define REST                                                                                       \
    "user 1000 1000 1000,27\ncwd /fsx/home/me%20too\nvalidate fast\nenv auto\nbind auto\n"         \
    "on-fail abort\ntimeout 2.5\n"

static int parse(struct dt_request *request, const char *text, struct dt_error *err)
{
    return dt_request_parse(request, text, strlen(text), err);
}

static void full_request_is_understood(void **state)
{
    (void)state;
    struct dt_request r;
    struct dt_error err = {0};
    const char *text = HEAD TASKS REST "het 1 of 2\nport 40123\nrendezvous 1/10.0.0.5/40123/0f\n"
                                       "limits -1 1048576\nenviron A=1%0A2\nenviron EMPTY=\nend\n";
    assert_int_equal(parse(&r, text, &err), 0);
    assert_int_equal(r.job, 1234);
    assert_string_equal(r.node_name, "p5-3");
    assert_int_equal(r.node_id, 2);
    assert_int_equal(r.node_count, 4);
    assert_int_equal(r.het_group, 1);
    assert_int_equal(r.het_size, 2);
    assert_int_equal(r.local_tasks, 2);
    assert_int_equal(r.ranks[0], 4);
    assert_int_equal(r.ranks[1], 5);
    assert_int_equal(r.uid, 1000);
    assert_int_equal(r.group_count, 2);
    assert_int_equal(r.groups[1], 27);
    assert_string_equal(r.cwd, "/fsx/home/me too");
    assert_true(r.timeout_s == 2.5);
    assert_int_equal(r.port, 40123);
    assert_int_equal(r.memlock, -1);
    assert_int_equal(r.nofile, 1048576);
    assert_string_equal(dt_request_getenv(&r, "A"), "1\n2");
    assert_string_equal(dt_request_getenv(&r, "EMPTY"), "");
    assert_null(dt_request_getenv(&r, "EMPT"));
    dt_request_fini(&r);
}

static void who_else_binds_is_understood(void **state)
{
    struct dt_request r;
    struct dt_error err = {0};
    (void)state;
    assert_int_equal(parse(&r,
                           HEAD TASKS REST "nic narrow\nbound cpus --cpu-bind=map_cpu:1,0\n"
                                           "bound program numactl\nend\n",
                           &err),
                     0);
    assert_true(r.bound_known);
    assert_string_equal(r.cpus_bound, "--cpu-bind=map_cpu:1,0");
    assert_string_equal(r.program_binds, "numactl");
    assert_string_equal(r.nic, "narrow");
    assert_null(r.gpus_bound);
    dt_request_fini(&r);
    assert_int_equal(parse(&r, HEAD TASKS REST "bound - -\nend\n", &err), 0);
    assert_true(r.bound_known && !r.cpus_bound);
    dt_request_fini(&r);
    assert_int_equal(parse(&r, HEAD TASKS REST "end\n", &err), 0);
    assert_false(r.bound_known);
    dt_request_fini(&r);
    assert_int_equal(parse(&r, HEAD TASKS REST "bound disks me\nend\n", &err), -1);
    assert_int_equal(parse(&r, HEAD TASKS REST "nic wide\nend\n", &err), -1);
}

static void lines_may_come_in_any_order(void **state)
{
    (void)state;
    struct dt_request r;
    struct dt_error err = {0};
    const char *text =
        "dt-request 1\n" REST "ranks 0,4\n" TASKS "node n id 0 of 1\njob 1 step 2\nend\n";
    assert_int_equal(parse(&r, text, &err), 0);
    assert_int_equal(r.ranks[1], 4);
    assert_int_equal(r.memlock, -2);
    assert_int_equal(r.het_group, -1);
    assert_non_null(r.environ);
    dt_request_fini(&r);
}

static void bad_requests_are_refused_with_a_sentence(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"", "no 'end' line"},
        {"end\n", "no 'dt-request 1'"},
        {"GET / HTTP/1.1\r\n\r\nend\n", "no request of dt's plugin"},
        {"dt-request 2\nend\n", "'dt-request 1'"},
        {HEAD TASKS REST, "no 'end' line"},
        {HEAD TASKS REST "end\nmore\n", "follows the 'end'"},
        {HEAD REST "end\n", "no 'tasks local"},
        {HEAD HEAD, "a second 'dt-request'"},
        {HEAD TASKS REST "colour red\nend\n", "different versions"},
        {HEAD TASKS REST "port 65536\nend\n", "'port' has a bad value"},
        {HEAD TASKS REST "environ A=%0\nend\n", "'environ' has a bad value"},
        {HEAD TASKS REST "environ A=%00\nend\n", "'environ' has a bad value"},
        {HEAD TASKS REST "ranks 0,1,2\nend\n", "lists 3 ranks for 2"},
        {HEAD TASKS REST "ranks 0,,2\nend\n", "'ranks' has a bad value"},
        {"dt-request 1\nnode a id 4 of 4\nend\n", "'node' has a bad value"},
        {"dt-request 1\ntimeout nan\nend\n", "'timeout' has a bad value"},
        {"dt-request 1\ntimeout -1\nend\n", "'timeout' has a bad value"},
        {"dt-request 1\non-fail maybe\nend\n", "'on-fail' has a bad value"},
        {"dt-request 1\nuser root 0\nend\n", "'user' has a bad value"},
        {"dt-request 1\nuser 0 0 0,x\nend\n", "'user' has a bad value"},
        {"dt-request 1\nhet 2 of 2\nend\n", "'het' has a bad value"},
        {"dt-request 1\n1 2 3 4 5 6 7 8 9 10 11 12 13\nend\n", "more than 12 words"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct dt_request r;
        struct dt_error err = {0};
        assert_int_equal(parse(&r, cases[i].text, &err), -1);
        if (!strstr(err.text, cases[i].says))
            fail_msg("case %zu: '%s' does not say '%s'", i, err.text, cases[i].says);
        assert_null(r.node_name);
    }
}

static void requests_are_read_in_pieces(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    const char *text = HEAD TASKS REST "environ send=end\nend\n";
    assert_int_equal(write(fds[1], text, strlen(text)), strlen(text));
    struct dt_request r;
    struct dt_error err = {0};
    assert_int_equal(dt_request_read(&r, fds[0], &err), 0); /* writer still open: no wait for EOF */
    dt_request_fini(&r);
    assert_int_equal(write(fds[1], "dt-request 1\njo", 15), 15);
    close(fds[1]);
    assert_int_equal(dt_request_read(&r, fds[0], &err), -1);
    assert_non_null(strstr(err.text, "breaks off after 15 bytes"));
    assert_int_equal(dt_request_read(&r, fds[0], &err), -1);
    assert_non_null(strstr(err.text, "without a request"));
    close(fds[0]);
}

static void masks_are_one_for_each_task(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"mask 0 0-3\nend\n", "no mask for local rank 1"},
        {"mask 0 0\nmask 0 1\nend\n", "two masks"},
        {"mask 2 0\nend\n", "has 2 tasks"},
        {"mask 0 \nend\n", "no CPU list"},
        {"mask 0 a\nend\n", "no CPU list"},
        {"mask 0\nend\n", "mask RANK CPULIST"},
    };
    char **lists;
    struct dt_error err = {0};
    const char *good = "mask 1 4-7,96-103\nmask 0 0-3\nend\n";
    assert_int_equal(dt_masks_parse(&lists, 2, good, strlen(good), &err), 0);
    assert_string_equal(lists[0], "0-3");
    assert_string_equal(lists[1], "4-7,96-103");
    dt_masks_free(lists, 2);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(dt_masks_parse(&lists, 2, bad[i].text, strlen(bad[i].text), &err), -1);
        if (!strstr(err.text, bad[i].says))
            fail_msg("case %zu: '%s' does not say '%s'", i, err.text, bad[i].says);
        assert_null(lists);
    }
}

static void masks_may_tell_processes(void **state)
{
    char **lists;
    pid_t pids[2] = {-1, -1};
    struct dt_error err = {0};
    int fds[2];
    const char *text = "mask 1 4-7 321\nmask 0 0-3\nend\n", *bad = "mask 0 0 x\nend\n";
    (void)state;
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(write(fds[1], text, strlen(text)), strlen(text));
    assert_int_equal(dt_masks_read_pids(&lists, pids, 2, fds[0], &err), 0);
    assert_int_equal(pids[0], 0);
    assert_int_equal(pids[1], 321);
    dt_masks_free(lists, 2);
    close(fds[0]);
    close(fds[1]);
    assert_int_equal(dt_masks_parse(&lists, 1, bad, strlen(bad), &err), -1);
    assert_non_null(strstr(err.text, "'x' is no process id"));
}

static void closed_pipe_is_told_from_bad_masks(void **state)
{
    (void)state;
    int fds[2];
    char **lists;
    struct dt_error err = {0};
    assert_int_equal(pipe(fds), 0);
    close(fds[1]);
    assert_int_equal(dt_masks_read(&lists, 1, fds[0], &err), 1);
    close(fds[0]);
}

static void plan_text_is_as_in_the_contract(void **state)
{
    (void)state;
    struct dt_buf plan = DT_BUF_INIT;
    dt_plan_begin(&plan);
    dt_plan_all_set(&plan, "A", "50% of\n\x7f \xc3\xa9");
    dt_plan_all_set(&plan, "EMPTY", "");
    dt_plan_all_default(&plan, "B", "2");
    dt_plan_all_unset(&plan, "C");
    dt_plan_rank_cpus(&plan, 0, "0-7,96-103");
    dt_plan_rank_memory(&plan, 0, "preferred", "0");
    dt_plan_rank_set(&plan, 1, "D", "4");
    dt_plan_rank_default(&plan, 1, "E", "5");
    dt_plan_rank_say(&plan, 0, "dt: two words");
    dt_plan_env_default(&plan, -1, "F", "a b");
    dt_plan_env_default(&plan, 1, "F", "6");
    dt_plan_env_set(&plan, -1, "G", "");
    dt_plan_env_unset(&plan, 0, "H");
    dt_plan_end(&plan);
    char *text = dt_buf_take(&plan);
    assert_string_equal(text, "dt-plan 1\n"
                              "all set A 50%25%20of%0A%7F%20\xc3\xa9\n"
                              "all set EMPTY \n"
                              "all default B 2\n"
                              "all unset C\n"
                              "rank 0 cpus 0-7,96-103\n"
                              "rank 0 memory preferred 0\n"
                              "rank 1 set D 4\n"
                              "rank 1 default E 5\n"
                              "rank 0 say dt:%20two%20words\n"
                              "all env-default F a%20b\n"
                              "rank 1 env-default F 6\n"
                              "all env-set G \n"
                              "rank 0 env-unset H\n"
                              "end\n");
    free(text);
}

static void every_byte_survives_a_word(void **state)
{
    (void)state;
    char value[256];
    for (int i = 0; i < 255; i++)
        value[i] = (char)(i + 1);
    value[255] = '\0';
    struct dt_buf buf = DT_BUF_INIT;
    dt_word_append(&buf, value);
    char *word = dt_buf_take(&buf);
    assert_null(strpbrk(word, " \t\n"));
    assert_int_equal(dt_word_decode(word), 0);
    assert_string_equal(word, value);
    free(word);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(full_request_is_understood),
        cmocka_unit_test(lines_may_come_in_any_order),
        cmocka_unit_test(bad_requests_are_refused_with_a_sentence),
        cmocka_unit_test(requests_are_read_in_pieces),
        cmocka_unit_test(masks_are_one_for_each_task),
        cmocka_unit_test(who_else_binds_is_understood),
        cmocka_unit_test(masks_may_tell_processes),
        cmocka_unit_test(closed_pipe_is_told_from_bad_masks),
        cmocka_unit_test(plan_text_is_as_in_the_contract),
        cmocka_unit_test(every_byte_survives_a_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
