/* SPDX-License-Identifier: Apache-2.0 */
/* Versions: hostile and large files, texts at their borders, and nodes against each other. */
#include "versions_scene.h"

#include <fcntl.h>

#include "versions/elf.h"
#include "versions/ldconf.h"
#include "versions/text.h"

static void texts_and_borders(void **state)
{
    struct world *world = *state;
    static const char mark[] = "Initializing aws-ofi-nccl 1.13.2-aws";
    size_t size = 600 << 10;
    char *data = calloc(1, size);
    for (int shift = -60; shift <= 4; shift += 4) { /* over the border of two pieces */
        memset(data, 0, size);
        memcpy(data + (256 << 10) + shift, mark, sizeof mark);
        tree_bytes(&world->tree, "file", data, size);
        int fd = dt_root_open(&world->root, O_RDONLY, "file");
        char *version = dt_version_scan_library(fd, "Initializing aws-ofi-nccl ");
        close(fd);
        assert_non_null(version);
        assert_string_equal(version, "1.13.2-aws");
        free(version);
    }
    free(data);
    assert_null(dt_version_take("", 0));
    assert_null(dt_version_take("abc", 3));
    assert_null(dt_version_take("12", 2));
    char long_one[200];
    memset(long_one, '1', sizeof long_one);
    long_one[1] = '.';
    assert_null(dt_version_take(long_one, sizeof long_one));
}

static void loops_and_rubbish_in_ldconf(void **state)
{
    struct world *world = *state;
    struct dt_list folders = {0}, pairs = {0};
    tree_file(&world->tree, "etc/ld.so.conf",
              "include /etc/*.conf\ninclude\nhwcap 0 x\nrelative\n/a:/b,/c /a\n/b\n");
    assert_int_equal(dt_ldconf_read(&folders, &world->root), 0);
    assert_int_equal(folders.count, 3);
    assert_string_equal(folders.items[2], "/c");
    dt_list_fini(&folders);
    unsigned char rubbish[64] = "glibc-ld.so.cache1.1";
    memset(rubbish + 20, 0xff, 44);
    assert_int_equal(dt_ldcache_parse(&pairs, rubbish, sizeof rubbish), 1);
    assert_int_equal(pairs.count, 0);
    assert_int_equal(dt_ldcache_parse(&pairs, (const unsigned char *)"x", 1), 0);
    dt_list_fini(&pairs);
}

static void nothing_is_no_error(void **state)
{
    struct world *world = *state;
    DETECT(world);
    assert_int_equal(world->versions.count, 0);
}

/* ---- nodes -------------------------------------------------------------------------------------------- */

static struct dt_versions_comparison compare(const char *const *lines)
{
    struct dt_versions_nodes *nodes = dt_versions_nodes_create();
    struct dt_versions_comparison found;
    for (; *lines; lines++)
        assert_int_equal(dt_versions_nodes_add(nodes, *lines, strlen(*lines), NULL), 0);
    assert_int_equal(dt_versions_compare(&found, nodes, NULL), 0);
    dt_versions_nodes_destroy(nodes);
    return found;
}

#define LINE(node, component, version, loads)                                                      \
    "{\"node\":\"" node "\",\"nodes\":4,\"component\":\"" component "\",\"version\":" version      \
    ",\"loads\":" loads ",\"path\":\"/x\"}"

static void the_odd_node_is_named(void **state)
{
    (void)state;
    struct dt_versions_comparison found =
        compare((const char *const[]){LINE("p5-1", "libfabric", "\"2.1.0\"", "true"),
                                      LINE("p5-2", "libfabric", "\"1.9\"", "true"),
                                      LINE("p5-3", "libfabric", "\"2.1.0\"", "true"),
                                      LINE("p5-3", "libfabric", "\"1.9\"", "false"), "", NULL});
    assert_string_equal(found.text, "libfabric: odd: p5-2 has 1.9; 2 other nodes: 2.1.0\n");
    assert_int_equal(found.differing, 1);
    assert_int_equal(found.nodes, 3);
    assert_int_equal(found.expected, 4);
    dt_versions_comparison_fini(&found);

    found = compare((const char *const[]){LINE("a-1", "nccl", "\"2.1.0\"", "true"),
                                          LINE("a-2", "nccl", "null", "true"),
                                          LINE("a-1", "efa", "\"1.0\"", "true"), NULL});
    assert_string_equal(found.text, "nccl: no majority: a-1 has 2.1.0, a-2 has an unknown version\n"
                                    "efa: no majority: a-1 has 1.0, a-2 has not there\n");
    dt_versions_comparison_fini(&found);
}

static void foreign_lines_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "x",
        "{}",
        "[1]",
        "{\"node\":5}",
        "{\"node\":\"a b\"}",
        "{\"node\":\"a\",\"component\":\"nccl\"}",
        "{\"node\":\"a\",\"component\":\"n\\u001b\",\"version\":null}"};
    struct dt_versions_nodes *nodes = dt_versions_nodes_create();
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct dt_error err = {""};
        assert_int_equal(dt_versions_nodes_add(nodes, bad[i], strlen(bad[i]), &err), -1);
        assert_true(*err.text);
    }
    dt_versions_nodes_destroy(nodes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(texts_and_borders),     TEST(loops_and_rubbish_in_ldconf), TEST(nothing_is_no_error),
        TEST(the_odd_node_is_named), TEST(foreign_lines_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
