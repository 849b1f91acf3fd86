/* SPDX-License-Identifier: Apache-2.0 */
/* NCCL's configuration files, and the interfaces of this machine. */
#include <pwd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "facts_tree.h"
#include "nccl/nccl.h"

static void test_lines(void **state)
{
    static const char text[] = "# A=0\nA=1\nB = 2 \n\nno equals\n=x\nA=3\nC=a=b\r\nD=\nlast=1";
    struct dt_nccl_settings settings = {0};
    struct dt_error err;
    (void)state;
    assert_int_equal(dt_nccl_conf_parse(&settings, "/etc/nccl.conf", text, strlen(text), &err), 0);
    assert_int_equal(settings.count, 5);
    assert_string_equal(settings.items[0].name, "A");
    assert_string_equal(settings.items[0].value, "1");
    assert_int_equal(settings.items[0].line, 2);
    assert_string_equal(settings.items[1].name, "B ");
    assert_string_equal(settings.items[1].value, " 2 ");
    assert_string_equal(settings.items[2].value, "a=b\r");
    assert_string_equal(settings.items[3].value, "");
    assert_string_equal(settings.items[4].name, "last");
    assert_int_equal(settings.items[4].line, 10);
    dt_nccl_settings_fini(&settings);
}

static void test_long(void **state)
{
    struct dt_nccl_settings settings = {0};
    struct dt_error err;
    char text[5000];
    (void)state;
    memset(text, 'x', sizeof text);
    text[2000] = '=';
    assert_int_equal(dt_nccl_conf_parse(&settings, "f", text, sizeof text, &err), 0);
    assert_int_equal(settings.count, 1);
    assert_int_equal(strlen(settings.items[0].name), 1023);
    assert_int_equal(strlen(settings.items[0].value), 1023);
    dt_nccl_settings_fini(&settings);
}

static void test_environment(void **state)
{
    struct dt_nccl_settings settings = {0};
    struct dt_error err;
    char *own[] = {(char *)"A=own", NULL};
    (void)state;
    assert_int_equal(dt_nccl_conf_parse(&settings, "f", "A=1\nB=2\n", 8, &err), 0);
    char **all = dt_nccl_environ(own, &settings);
    assert_non_null(all);
    assert_string_equal(all[0], "A=own");
    assert_string_equal(all[1], "B=2");
    assert_null(all[2]);
    dt_nccl_environ_free(all, own);
    dt_nccl_settings_fini(&settings);
}

static void read_in(struct tree *tree, struct dt_nccl_settings *settings, const char *conf_file,
                    const char *nccl)
{
    struct dt_root root;
    struct dt_error err;
    assert_int_equal(dt_root_init(&root, tree->path, &err), 0);
    struct dt_facts_request request = {
        .root = &root, .uid = getuid(), .gid = getgid(), .cwd = "/job"};
    assert_int_equal(dt_nccl_conf_read(settings, &request, conf_file, nccl, &err), 0);
    dt_root_fini(&root);
}

static void test_files(void **state)
{
    struct tree tree;
    struct dt_nccl_settings s;
    const struct passwd *user = getpwuid(getuid());
    char home[512];
    (void)state;
    assert_non_null(user);
    snprintf(home, sizeof home, "%s/.nccl.conf", user->pw_dir + strspn(user->pw_dir, "/"));
    tree_make(&tree);

    read_in(&tree, &s, NULL, NULL); /* none there */
    assert_int_equal(s.count, 0);
    assert_null(s.troubles);
    dt_nccl_settings_fini(&s);

    tree_file(&tree, home, "A=home\nB=home\n");
    tree_file(&tree, "etc/nccl.conf", "B=etc\nC=etc\n");
    tree_file(&tree, "job/my.conf", "C=mine\n");
    read_in(&tree, &s, NULL, NULL);
    assert_int_equal(s.count, 3);
    assert_string_equal(s.items[0].value, "home");
    assert_string_equal(s.items[1].value, "home"); /* the user's file comes first */
    assert_string_equal(s.items[2].value, "etc");
    assert_string_equal(s.items[2].file, "/etc/nccl.conf");
    assert_int_equal(s.items[2].line, 2);
    dt_nccl_settings_fini(&s);

    read_in(&tree, &s, "my.conf", "2.23.4"); /* instead of the one at home */
    assert_int_equal(s.count, 2);
    assert_string_equal(s.items[0].value, "mine");
    assert_string_equal(s.items[0].file, "/job/my.conf");
    assert_string_equal(s.items[1].name, "B");
    dt_nccl_settings_fini(&s);

    read_in(&tree, &s, "my.conf", "2.22.3"); /* does not know NCCL_CONF_FILE */
    assert_string_equal(s.items[0].value, "home");
    dt_nccl_settings_fini(&s);

    read_in(&tree, &s, "/nowhere", NULL);
    assert_non_null(s.troubles);
    assert_string_equal(s.troubles[0], "/nowhere: No such file or directory");
    assert_null(s.troubles[1]);
    dt_nccl_settings_fini(&s);
    tree_destroy(&tree);
}

static json_t *interfaces(const char *path, struct dt_facts *facts)
{
    struct dt_root root;
    struct dt_conf conf;
    struct dt_error err;
    assert_int_equal(dt_root_init(&root, path, &err), 0);
    assert_int_equal(dt_conf_parse(&conf, "test", "", 0, &err), 0);
    struct dt_facts_request request = {.root = &root,
                                       .conf = &conf,
                                       .uid = getuid(),
                                       .gid = getgid(),
                                       .memlock = DT_LIMIT_OWN,
                                       .nofile = DT_LIMIT_OWN,
                                       .level = 1};
    assert_int_equal(dt_facts_collect(facts, &request, &err), 0);
    dt_conf_fini(&conf);
    dt_root_fini(&root);
    return dt_facts_array(facts, "net.interfaces");
}

static void test_interfaces(void **state)
{
    struct tree tree;
    struct dt_facts facts;
    json_t *list, *item;
    size_t i;
    bool loopback = false;
    (void)state;
    tree_make(&tree);
    tree_file(&tree, "sys/class/net/ens32/operstate", "up\n");
    tree_file(&tree, "sys/class/net/ens33/operstate", "down\n");
    tree_file(&tree, "sys/class/net/lo/operstate", "unknown\n");
    list = interfaces(tree.path, &facts);
    assert_int_equal(json_array_size(list), 2);
    assert_string_equal(json_string_value(json_object_get(json_array_get(list, 0), "name")),
                        "ens32");
    dt_facts_fini(&facts);
    tree_destroy(&tree);

    list = interfaces("/", &facts); /* this machine has at least 127.0.0.1 */
    json_array_foreach(list, i, item)
    {
        const char *name = json_string_value(json_object_get(item, "name"));
        assert_non_null(name);
        assert_non_null(json_string_value(json_object_get(item, "address")));
        loopback |= strcmp(name, "lo") == 0;
    }
    assert_true(loopback);
    dt_facts_fini(&facts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),       cmocka_unit_test(test_long),
        cmocka_unit_test(test_environment), cmocka_unit_test(test_files),
        cmocka_unit_test(test_interfaces),
    };
    return cmocka_run_group_tests_name("nccl", tests, NULL, NULL);
}
