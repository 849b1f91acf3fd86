/* SPDX-License-Identifier: Apache-2.0 */
/* Roles files: words, nodes, references; and what is wrong in them, with file and line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "roles/roles.h"

static const char *variable(const char *name)
{
    return strcmp(name, "MODEL") == 0 ? "Qwen 0.5B" : strcmp(name, "EMPTY") == 0 ? "" : NULL;
}

static struct dt_roles parsed(const char *text)
{
    struct dt_roles roles;
    struct dt_error err = {""};
    if (dt_roles_parse(&roles, text, "job.roles", variable, &err))
        fail_msg("%s", err.text);
    return roles;
}

static void refused(const char *text, const char *words)
{
    struct dt_roles roles;
    struct dt_error err = {""};
    assert_int_equal(dt_roles_parse(&roles, text, "job.roles", variable, &err), -1);
    if (!strstr(err.text, words))
        fail_msg("no \"%s\" in: %s", words, err.text);
}

static void test_words(void **state)
{
    (void)state;
    struct dt_roles roles =
        parsed("# comment\n\n"
               "role a 1 --env auto -- serve --model \"$MODEL\" '$MODEL' ${MODEL}x "
               "a\\ b \"q\\\"\" $5 c#d # end\n");
    static const char *const words[] = {"serve", "--model", "Qwen 0.5B", "$MODEL", "Qwen 0.5Bx",
                                        "a b",   "q\"",     "$5",        "c#d",    NULL};
    const struct dt_role *a = &roles.items[0];
    assert_int_equal(roles.count, 1);
    assert_int_equal(roles.end, -1);
    assert_int_equal(a->line, 3);
    assert_string_equal(a->options[0], "--env");
    assert_string_equal(a->options[1], "auto");
    assert_null(a->options[2]);
    for (size_t i = 0; words[i]; i++)
        assert_string_equal(a->program[i], words[i]);
    assert_null(a->program[9]);
    dt_roles_fini(&roles);
}

static void test_mistakes(void **state)
{
    (void)state;
    refused("", "describes no role");
    refused("roll a 1 -- x\n", "job.roles:1: roll: role, ready or end");
    refused("role a 1 x\n", "role NAME NODES [OPTION...] -- PROGRAM");
    refused("role a 1 --\n", "role NAME NODES");
    refused("role a/b 1 -- x\n", "letters, digits");
    refused("role a 0 -- x\n", "nodes 0: a number, first:N");
    refused("role a last:x -- x\n", "nodes last:x");
    refused("role a 1 -- x\nrole a 1 -- y\n", "job.roles:2: role a: it is described twice");
    refused("role a 1 -- x $NOWHERE\n", "job.roles:1: the variable NOWHERE is not set");
    refused("role a 1 -- 'x\n", "a ' has no end");
    refused("role a 1 -- ${MODEL\n", "has no }");
    refused("role a 1 -- x\nready b tcp://h:1\n", "no role above has that name");
    refused("role a 1 -- x\nready a h:1\n", "tcp://HOST:PORT or http");
    refused("role a 1 -- x\nready a tcp://h:1 soon\n", "number of seconds");
    refused("role a 1 -- x\nready a tcp://h:1\nready a tcp://h:1\n", "said twice");
    refused("role a 1 -- x\nend b\n", "job.roles:2: end b");
    refused("role a 1 -- x\nrole b 1 -- x\nend a\nend b\n", "only one role's end");
}

static void has(const struct dt_roles *roles, int number, const int *nodes, int count)
{
    assert_int_equal(roles->items[number].node_count, count);
    for (int i = 0; i < count; i++)
        assert_int_equal(roles->items[number].nodes[i], nodes[i]);
}

static void test_places(void **state)
{
    (void)state;
    struct dt_error err = {""};
    struct dt_roles roles = parsed("role trainer rest -- t\n"
                                   "role vllm last:2 -- v\n"
                                   "role head first:1 -- h\n"
                                   "role watch all -- w\n"
                                   "role driver first:1 -- d\n");
    assert_int_equal(dt_roles_place(&roles, 6, "job.roles", &err), 0);
    has(&roles, 0, (int[]){1, 2, 3}, 3);
    has(&roles, 1, (int[]){4, 5}, 2);
    has(&roles, 2, (int[]){0}, 1);
    has(&roles, 3, (int[]){0, 1, 2, 3, 4, 5}, 6);
    assert_int_equal(dt_role_index(&roles.items[0], 3), 2);
    assert_int_equal(dt_role_index(&roles.items[0], 4), -1);
    dt_roles_fini(&roles);
}

static void can_not(const char *text, int nodes, const char *words)
{
    struct dt_error err = {""};
    struct dt_roles roles = parsed(text);
    assert_int_equal(dt_roles_place(&roles, nodes, "job.roles", &err), -1);
    if (!strstr(err.text, words))
        fail_msg("no \"%s\" in: %s", words, err.text);
    dt_roles_fini(&roles);
}

static void test_too_few_and_too_many(void **state)
{
    (void)state;
    can_not("role a 3 -- x\n", 2, "job.roles:1: role a wants 3 nodes and 2 of 2 are left");
    can_not("role a last:3 -- x\n", 2, "role a wants 3 nodes");
    can_not("role a 2 -- x\nrole b rest -- y\n", 2, "job.roles:2: role b wants 1 node and 0 of 2");
    can_not("role a 2 -- x\n", 3, "gives node 2 of 3 no role");
}

static void test_references(void **state)
{
    (void)state;
    struct dt_error err = {""};
    char *names[] = {"p5-1", "p5-2", NULL};
    struct dt_roles roles = parsed("role a 2 -- x\nrole b 1 -- y\n");
    assert_int_equal(dt_roles_place(&roles, 3, "job.roles", &err), 0);
    char *word =
        dt_roles_expand(&roles, "http://@a.1@:8000/x@y@a.count@@", names, "job.roles", &err);
    assert_string_equal(word, "http://p5-2:8000/x@y2@");
    free(word);
    assert_null(dt_roles_expand(&roles, "@a.2@", names, "job.roles", &err));
    assert_non_null(strstr(err.text, "job.roles: @a.2@: role a has nodes 0 to 1"));
    assert_null(dt_roles_expand(&roles, "@b.0@", names, "job.roles", &err));
    assert_non_null(strstr(err.text, "is not known on this platform"));
    dt_roles_fini(&roles);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),      cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_places),     cmocka_unit_test(test_too_few_and_too_many),
        cmocka_unit_test(test_references),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
