/* SPDX-License-Identifier: Apache-2.0 */
/* What a job has measured on its node serves its later steps, and nobody else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "facts_tree.h"
#include "inspect/reuse.h"

static struct tree tree;
static struct dt_root root;
static struct dt_conf conf;

static int setup(void **state)
{
    (void)state;
    strcpy(tree.path, "/tmp/dt-test-reuse.XXXXXX");
    assert_non_null(mkdtemp(tree.path));
    tree_file(&tree, "proc/sys/kernel/random/boot_id", "first-boot\n");
    tree_file(&tree, "dt.conf", "");
    conf = (struct dt_conf){.path = tree_path(&tree, "dt.conf"),
                            .data_directory = tree.path,
                            .cache_directory = tree_path(&tree, "cache"),
                            .reuse_seconds = 300};
    return dt_root_init(&root, tree.path, NULL);
}

static int teardown(void **state)
{
    (void)state;
    free(conf.path);
    free(conf.cache_directory);
    dt_root_fini(&root);
    tree_remove(&tree, "");
    return 0;
}

static void save_facts(const char *text)
{
    struct dt_facts facts = {.doc = json_loads(text, 0, NULL)};
    assert_non_null(facts.doc);
    dt_reuse_save(&root, &conf, 7, &facts);
    dt_facts_fini(&facts);
}

static void save(void)
{
    save_facts("{\"node.name\":\"n\",\"mem.bandwidth_mb_s\":9000,"
               "\"measured.names\":\"mem.bandwidth_mb_s\"}");
}

static bool is_there(long long job)
{
    json_t *facts = dt_reuse_load(&root, &conf, job);
    bool there = facts != NULL;
    json_decref(facts);
    return there;
}

static void the_same_job_has_what_was_measured_and_no_more(void **state)
{
    (void)state;
    assert_false(is_there(7));
    save();
    json_t *facts = dt_reuse_load(&root, &conf, 7);
    assert_int_equal(json_integer_value(json_object_get(facts, "mem.bandwidth_mb_s")), 9000);
    assert_true(json_integer_value(json_object_get(facts, "measured.age_s")) < 60);
    assert_string_equal(json_string_value(json_object_get(facts, "measured.names")),
                        "mem.bandwidth_mb_s");
    assert_int_equal(json_object_size(facts), 3);
    json_decref(facts);
    assert_false(is_there(8));
}

static void another_boot_conf_or_table_measures_anew(void **state)
{
    (void)state;
    save();
    tree_file(&tree, "proc/sys/kernel/random/boot_id", "second-boot\n");
    assert_false(is_there(7));
    save();
    assert_true(is_there(7));
    tree_file(&tree, "dt.conf", "# changed\n");
    assert_false(is_there(7));
    save();
    tree_file(&tree, "counters.conf", "limit a.b 1 total WARN\n");
    assert_false(is_there(7));
    save();
    assert_true(is_there(7));
}

static char *read_file(const char *path)
{
    char *text = calloc(1, 4096);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_true(fread(text, 1, 4095, file) > 0);
    fclose(file);
    return text;
}

static void the_time_to_live_counts(void **state)
{
    (void)state;
    save();
    char *path = tree_path(&tree, "cache/measured.json"), *text = read_file(path), *at, *end;
    at = strstr(text, "\"at\":");
    assert_non_null(at);
    long long when = strtoll(at + 5, &end, 10);
    for (int older = 299; older <= 302; older += 3) {
        char changed[8192];
        snprintf(changed, sizeof changed, "%.*s%lld%s", (int)(at + 5 - text), text, when - older,
                 end);
        tree_file(&tree, "cache/measured.json", changed);
        assert_int_equal(is_there(7), older < 300);
    }
    conf.reuse_seconds = 0;
    tree_file(&tree, "cache/measured.json", text);
    assert_false(is_there(7));
    free(text);
    free(path);
}

static void what_is_damaged_or_foreign_is_not_there(void **state)
{
    (void)state;
    save();
    char *path = tree_path(&tree, "cache/measured.json"), *text = read_file(path);
    size_t len = strlen(text);
    for (size_t cut = 0; cut < len; cut++) {
        tree_bytes(&tree, "cache/measured.json", text, cut);
        assert_false(is_there(7));
    }
    tree_bytes(&tree, "cache/measured.json", text, len);
    assert_true(is_there(7));
    assert_int_equal(chmod(path, 0666), 0);
    assert_false(is_there(7));
    free(text);
    free(path);
}

static void what_was_reused_or_not_measured_is_not_kept(void **state)
{
    (void)state;
    save_facts("{\"mem.bandwidth_mb_s\":9000}");
    assert_false(is_there(7));
    save_facts(
        "{\"why.mem.bandwidth_mb_s\":\"no memory\",\"measured.names\":\"why.mem.bandwidth_mb_s\"}");
    assert_false(is_there(7));
    save_facts("{\"mem.bandwidth_mb_s\":1,\"measured.names\":\"mem.bandwidth_mb_s\",\"measured.age_"
               "s\":0}");
    assert_false(is_there(7));
}

int main(void)
{
#define IN_TREE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        IN_TREE(the_same_job_has_what_was_measured_and_no_more),
        IN_TREE(another_boot_conf_or_table_measures_anew),
        IN_TREE(the_time_to_live_counts),
        IN_TREE(what_is_damaged_or_foreign_is_not_there),
        IN_TREE(what_was_reused_or_not_measured_is_not_kept),
    };
    return cmocka_run_group_tests_name("reuse", tests, NULL, NULL);
}
