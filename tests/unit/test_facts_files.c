/* SPDX-License-Identifier: Apache-2.0 */
/* What is asked as the user: writing, mounts, and the question of a caller. */
#include "facts_world.h"

static void tries_to_write(void **state)
{
    struct world *world = *state;
    char *more[] = {(char *)"/fsx/home", (char *)"/scratch", (char *)"relative", NULL};
    world->conf.writable_paths = more;
    collect(world);
    const json_t *list = dt_facts_array(&world->facts, "fs.writable");
    assert_int_equal(json_array_size(list), 4); /* /fsx/home once, and /tmp */
    assert_true(json_is_true(json_object_get(json_array_get(list, 0), "ok")));
    assert_true(json_is_false(json_object_get(json_array_get(list, 1), "ok")));
    assert_string_equal(item(world, "fs.writable", 1, "reason"), "No such file or directory");
    assert_true(json_is_false(json_object_get(json_array_get(list, 2), "ok")));
    assert_string_equal(item(world, "fs.writable", 3, "path"), "/tmp");
    assert_true(json_is_true(json_object_get(json_array_get(list, 3), "ok")));
    char *folder = tree_path(&world->tree, "fsx/home");
    assert_int_equal(rmdir(folder), 0); /* nothing was left behind */
    free(folder);
}

static void writes_as_the_user(void **state)
{
    struct world *world = *state;
    if (geteuid() != 0)
        skip();
    world->request.uid = 65534;
    world->request.gid = 65534;
    collect(world); /* both folders belong to root */
    assert_string_equal(item(world, "fs.writable", 0, "reason"), "Permission denied");
    char *folder = tree_path(&world->tree, "fsx/home");
    assert_int_equal(chown(folder, 65534, 65534), 0);
    free(folder);
    collect(world);
    assert_true(json_is_true(
        json_object_get(json_array_get(dt_facts_array(&world->facts, "fs.writable"), 0), "ok")));
}

static void asks_mounts(void **state)
{
    struct world *world = *state;
    tree_folder(&world->tree, "my data");
    tree_file(&world->tree, "proc/self/mountinfo",
              "36 35 98:0 / /fsx rw,noatime shared:1 - lustre 10.0.0.1@tcp:/x rw\n"
              "37 35 98:1 / /my\\040data rw - nfs4 server:/ rw\n"
              "38 35 98:2 / /gone rw - fuse.s3 x rw\n"
              "39 35 98:3 / /tmp rw - ext4 /dev/x rw\n"
              "a line that is none\n");
    world->request.level = DT_LEVEL_FULL;
    collect(world);
    const json_t *list = dt_facts_array(&world->facts, "fs.mounts");
    assert_int_equal(json_array_size(list), 3);
    assert_true(json_is_true(json_object_get(json_array_get(list, 0), "ok")));
    assert_string_equal(item(world, "fs.mounts", 1, "path"), "/my data");
    assert_true(json_is_true(json_object_get(json_array_get(list, 1), "ok")));
    assert_true(json_is_false(json_object_get(json_array_get(list, 2), "ok")));
    assert_absent(world, "log.errors", "/dev/kmsg: No such file"); /* that of the tree */
}

/* ---- the question of a caller ---- */

static void says_two_lines(int out, void *argument)
{
    dt_probe_say(out, argument);
    dt_probe_say(out, "question\n");
}

static void says_and_hangs(int out, void *argument)
{
    dt_probe_say(out, argument);
    for (;;)
        pause();
}

static void answers_a_question(void **state)
{
    struct world *world = *state;
    struct dt_facts_question question = {.ask = says_two_lines, .argument = (void *)"first\n"};
    world->request.question = &question;
    collect(world);
    assert_int_equal(question.state, DT_QUESTION_ANSWERED);
    assert_string_equal(question.answer, "first\nquestion\n"); /* its own text may hold anything */
    free(question.answer);
    assert_int_equal(json_array_size(dt_facts_array(&world->facts, "fs.writable")), 2);
    assert_string_equal(item(world, "fs.writable", 0, "reason"), "(absent)");

    question = (struct dt_facts_question){.ask = says_and_hangs, .argument = (void *)"half"};
    world->conf.probe_timeout_ms = 300;
    collect(world);
    assert_int_equal(question.state, DT_QUESTION_UNANSWERED);
    assert_string_equal(question.answer, "half");
    assert_string_equal(question.why.text, "did not answer in 300 ms");
    free(question.answer);
    /* nobody else is blamed */
    assert_int_equal(json_array_size(dt_facts_array(&world->facts, "fs.writable")), 2);
    assert_string_equal(item(world, "fs.writable", 1, "reason"), "(absent)");
}

static void leaves_a_question_unasked(void **state)
{
    struct world *world = *state;
    struct dt_facts_question question = {.ask = says_two_lines, .argument = (void *)""};
    if (geteuid() != 0)
        skip();
    world->request.uid = 65534;
    world->request.group_count = 1 << 20; /* more than the kernel takes: the child can not be him */
    world->request.question = &question;
    collect(world);
    assert_int_equal(question.state, DT_QUESTION_UNASKED);
    assert_null(question.answer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(tries_to_write, setup, teardown),
        cmocka_unit_test_setup_teardown(writes_as_the_user, setup, teardown),
        cmocka_unit_test_setup_teardown(asks_mounts, setup, teardown),
        cmocka_unit_test_setup_teardown(answers_a_question, setup, teardown),
        cmocka_unit_test_setup_teardown(leaves_a_question_unasked, setup, teardown),
    };
    return cmocka_run_group_tests_name("facts_files", tests, NULL, NULL);
}
