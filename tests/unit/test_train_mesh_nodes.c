/* SPDX-License-Identifier: Apache-2.0 */
/* Tensor-parallel groups that span nodes are told, and the size that would not. The ranks are played
 * by an allgather of this test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "mesh.h"

static int ranks_of_node;

static int allgather(struct dt_comm *comm, const void *mine, void *all, size_t bytes,
                     struct dt_error *err)
{
    (void)mine, (void)err;
    for (int i = 0; i < comm->size; i++)
        snprintf((char *)all + (size_t)i * bytes, bytes, "p5-%d", i / ranks_of_node);
    return 0;
}

static void say(int ranks, int per_node, int tp, struct dt_error *said)
{
    static const struct dt_comm_operations operations = {.allgather = allgather};
    struct dt_comm world = {.size = ranks, .operations = &operations};
    struct dt_mesh mesh = {.sizes = {.tp = tp}, .world = &world};
    struct dt_error err;
    ranks_of_node = per_node;
    assert_int_equal(dt_mesh_nodes(&mesh, said, &err), 0);
}

static void test_inside(void **state)
{
    (void)state;
    static const int rows[][3] = {{8, 4, 1}, {8, 4, 2}, {8, 4, 4}, {8, 8, 8}, {6, 6, 3}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct dt_error said;
        say(rows[i][0], rows[i][1], rows[i][2], &said);
        assert_string_equal(said.text, "");
    }
}

static void test_across(void **state)
{
    (void)state;
    struct dt_error said;
    say(16, 4, 8, &said);
    assert_string_equal(said.text,
                        "--tp 8: 2 of 2 groups span nodes (the first is ranks 0 to 7, from p5-0 to "
                        "p5-1), so that products wait for the network; --tp 4 stays inside nodes "
                        "as the ranks are placed");
    say(12, 6, 4, &said);
    assert_string_equal(said.text,
                        "--tp 4: 1 of 3 groups span nodes (the first is ranks 4 to 7, from p5-0 to "
                        "p5-1), so that products wait for the network; --tp 2 stays inside nodes "
                        "as the ranks are placed");
    say(4, 1, 2, &said);
    assert_non_null(strstr(said.text, "; --tp 1 stays inside nodes"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_inside),
        cmocka_unit_test(test_across),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
