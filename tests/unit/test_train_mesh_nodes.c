/* SPDX-License-Identifier: Apache-2.0 */
/* Tensor-parallel groups that span nodes, or NUMA nodes, are told, and the size that would not. The ranks
 * are played by an allgather of this test, machines by trees of files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "facts_tree.h"
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

/* NUMA nodes of a machine by the CPUs of each, as its kernel tells them. */
static uint64_t numa_of(const char *const *nodes, int count, int first, int last)
{
    struct tree tree = {"/tmp/dt-numa-XXXXXX"};
    struct dt_root root;
    struct dt_error err;
    cpu_set_t cpus;
    assert_non_null(mkdtemp(tree.path));
    for (int n = 0; n < count; n++) {
        char name[64];
        snprintf(name, sizeof name, "sys/devices/system/node/node%d/cpulist", n);
        tree_file(&tree, name, nodes[n]);
    }
    CPU_ZERO(&cpus);
    for (int cpu = first; cpu <= last; cpu++)
        CPU_SET((size_t)cpu, &cpus);
    assert_int_equal(dt_root_init(&root, tree.path, &err), 0);
    uint64_t numa = dt_mesh_numa(&root, &cpus);
    dt_root_fini(&root);
    tree_destroy(&tree);
    return numa;
}

static void test_numa(void **state)
{
    (void)state;
    static const char *const two[] = {"0-47,96-143\n", "48-95,144-191\n"};
    static const char *const four[] = {"0-23\n", "24-47\n", "48-71\n", "72-95\n"};
    static const char *const memory[] = {"0-7\n", "\n", "8-15\n"}; /* the second has no CPUs */
    assert_int_equal(numa_of(two, 2, 0, 47), 1);
    assert_int_equal(numa_of(two, 2, 48, 60), 2);
    assert_int_equal(numa_of(two, 2, 100, 100), 1);
    assert_int_equal(numa_of(two, 2, 47, 48), 3);
    assert_int_equal(numa_of(four, 4, 24, 71), 6);
    assert_int_equal(numa_of(four, 4, 72, 95), 8);
    assert_int_equal(numa_of(memory, 3, 0, 15), 5);
    assert_int_equal(numa_of(NULL, 0, 0, 15), 0); /* a kernel without NUMA */
}

enum { RANKS = 16 };

/* Ranks on nodes of `per_node`; numa: of the ranks of each node. */
static struct dt_error judged(int per_node, const uint64_t *numa, int tp)
{
    struct dt_mesh_place places[RANKS] = {0};
    struct dt_error said;
    for (int r = 0; r < RANKS; r++) {
        snprintf(places[r].host, sizeof places[r].host, "p5-%d", r / per_node);
        places[r].numa = numa[r % per_node];
    }
    dt_mesh_judge(places, RANKS, tp, &said);
    return said;
}

static void test_numa_inside(void **state)
{
    (void)state;
    static const uint64_t halves[8] = {1, 1, 1, 1, 2, 2, 2, 2}, unknown[8] = {0},
                          one[8] = {1, 1, 1, 1, 1, 1, 1, 1};
    assert_string_equal(judged(8, halves, 4).text, "");
    assert_string_equal(judged(8, halves, 2).text, "");
    assert_string_equal(judged(8, halves, 1).text, "");
    assert_string_equal(judged(8, unknown, 8).text, "");
    assert_string_equal(judged(8, one, 8).text, "");
}

static void test_numa_across(void **state)
{
    (void)state;
    static const uint64_t halves[8] = {1, 1, 1, 1, 2, 2, 2, 2}, turns[8] = {1, 2, 1, 2, 1, 2, 1, 2},
                          quarters[8] = {1, 1, 2, 2, 4, 4, 8, 8},
                          loose[8] = {1, 1, 1, 7, 2, 2, 2, 2};
    struct dt_error said = judged(8, halves, 8);
    assert_string_equal(
        said.text,
        "--tp 8: 2 of 2 groups span NUMA nodes (the first is ranks 0 to 7 on p5-0, on 0 and 1), so "
        "that products wait for the link between these; place neighbours together with srun "
        "--dt-bind or --distribution=block:block (mpirun --map-by core), or --tp 4 stays inside "
        "NUMA "
        "nodes as the ranks are placed");
    said = judged(8, turns, 4); /* as srun deals them out by itself */
    assert_non_null(strstr(said.text, "--tp 4: 4 of 4 groups span NUMA nodes"));
    assert_non_null(strstr(said.text, "or --tp 1 stays"));
    said = judged(8, quarters, 8);
    assert_non_null(strstr(said.text, "on 0, 1, 2 and 3)"));
    assert_non_null(strstr(said.text, "or --tp 2 stays"));
    said = judged(8, loose, 2);
    assert_string_equal(
        said.text, "--tp 2: rank 3 on p5-0 is bound to no NUMA node (it may run on 0, 1 and 2), "
                   "so that ranks that share products may be apart; bind them with srun "
                   "--dt-bind (mpirun --map-by core --bind-to core)");
    said = judged(2, halves, 4); /* the network is worse, and told alone */
    assert_non_null(strstr(said.text, "groups span nodes"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_inside),      cmocka_unit_test(test_across),
        cmocka_unit_test(test_numa),        cmocka_unit_test(test_numa_inside),
        cmocka_unit_test(test_numa_across),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
