/* SPDX-License-Identifier: Apache-2.0 */
/* The language of the rules file: conditions, and files with mistakes in them. */
#include "env_scene.h"

static enum dt_truth judge(const char *condition)
{
    struct scene scene;
    struct dt_error err = {0};
    struct dt_env_names names = {0};
    struct dt_env_expr *expr = dt_env_expr_parse(condition, &names, NULL, &err);
    struct dt_env_world world;
    enum dt_truth result;

    if (!expr)
        fail_msg("%s: %s", condition, err.text);
    scene_init(&scene, "p5", "efa.count=32 lib.libfabric=1.9 gpu.count=0", "A=1 B=text E=");
    assert_int_equal(dt_env_world_init(&world, &names, &scene.facts, scene.instance, scene.env), 0);
    world.self = "2";
    result = dt_env_expr_eval(expr, &world);
    dt_env_world_fini(&world);
    scene_fini(&scene);
    dt_env_expr_destroy(expr);
    dt_env_names_fini(&names);
    return result;
}

static void test_conditions(void **state)
{
    static const struct {
        const char *text;
        enum dt_truth want;
    } rows[] = {
        {"efa.count == 32", DT_TRUE},
        {"efa.count != 32", DT_FALSE},
        {"efa.count > 4 && efa.count <= 32", DT_TRUE},
        {"lib.libfabric < 1.18.0", DT_TRUE},
        {"lib.libfabric >= 1.10", DT_FALSE},
        {"instance.type ~ \"p5*\"", DT_TRUE},
        {"instance.type == p5.48xlarge", DT_TRUE},
        {"instance.rdma_read", DT_TRUE},
        {"instance.efa_generation", DT_FALSE},
        {"!instance.efa_generation", DT_TRUE},
        {"accelerator == nvidia", DT_TRUE},
        {"$A", DT_TRUE},
        {"$_ == 2", DT_TRUE},
        {"$_ > 2", DT_FALSE},
        {"$NONE", DT_FALSE},
        {"!$NONE", DT_TRUE},
        {"$E", DT_TRUE},
        {"$E == \"\"", DT_TRUE},
        {"$NONE == \"\"", DT_FALSE},
        {"$NONE != 1", DT_TRUE},
        {"yes($A) && !no($A)", DT_TRUE},
        {"yes($B) || no($B)", DT_FALSE},
        {"$B < 3", DT_UNKNOWN},
        {"lib.nccl < 2.19", DT_UNKNOWN},
        {"!lib.nccl", DT_UNKNOWN},
        {"lib.nccl < 2.19 && efa.count == 0", DT_FALSE},
        {"lib.nccl < 2.19 && efa.count == 32", DT_UNKNOWN},
        {"lib.nccl < 2.19 || efa.count == 32", DT_TRUE},
        {"lib.nccl < 2.19 || efa.count == 0", DT_UNKNOWN},
        {"efa.count == 0 && $A || $A", DT_TRUE},
        {"efa.count == 0 && ($A || $A)", DT_FALSE},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (judge(rows[i].text) != rows[i].want)
            fail_msg("%s: expected %d", rows[i].text, rows[i].want);
}

static void test_bad_conditions(void **state)
{
    static const struct {
        const char *text, *said;
    } rows[] = {
        {"", "at its end: expected a fact"},
        {"efa.cuont > 0", "at 'efa.cuont' (column 1): there is no fact of this name; did you mean "
                          "'efa.count'?"},
        {"efa.count > 0 && nothing.like.it", "expected a fact or a $VARIABLE"},
        {"accelerator == lib.ncl",
         "at 'lib.ncl' (column 16): there is no fact of this name; did you "
         "mean 'lib.nccl'?"},
        {"accelerator == no.such.thing", "put a value with dots into quotes"},
        {"efa.count >", "at its end"},
        {"efa.count > 0 &&", "at its end"},
        {"(efa.count", "expected ')'"},
        {"efa.count > 0 efa.count", "expected '&&'"},
        {"efa.count = 3", "expected '&&'"},
        {"yes(A)", "no fact"},
        {"instance.type ~ \"p5", "closing quote"},
        {"nvidia == accelerator", "no fact"},
        {"$", "at '$' (column 1): expected a fact"},
    };
    struct dt_buf deep = DT_BUF_INIT;
    struct dt_env_names names = {0};
    struct dt_error err;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_null(dt_env_expr_parse(rows[i].text, &names, NULL, &err));
        if (!strstr(err.text, rows[i].said))
            fail_msg("'%s' said: %s", rows[i].text, err.text);
    }
    for (int i = 0; i < 10000; i++)
        dt_buf_puts(&deep, i % 2 ? "!" : "(");
    assert_null(dt_env_expr_parse(deep.data, &names, NULL, &err));
    assert_non_null(strstr(err.text, "nested too deeply"));
    dt_buf_clear(&deep);
    for (int i = 0; i < 1000; i++)
        dt_buf_puts(&deep, "$A || ");
    assert_null(dt_env_expr_parse(deep.data, &names, NULL, &err));
    assert_non_null(strstr(err.text, "too many terms"));
    dt_buf_fini(&deep);
    dt_env_names_fini(&names);
}

/* ---- bad files ------------------------------------------------------------------------------- */

#define GOOD                                                                                       \
    "when = 'efa.count > 0'\naction = set-if-unset\nvariable = A\nvalue = 1\nreason = r\nsource "  \
    "= s\n"

static void assert_file_error(const char *content, const char *said)
{
    char path[] = "/tmp/dt-test-env-XXXXXX";
    int fd = mkstemp(path);
    struct dt_env_rules *rules = NULL;
    struct dt_error err = {0};

    assert_true(fd >= 0);
    assert_int_equal(write(fd, content, strlen(content)), strlen(content));
    close(fd);
    assert_int_equal(dt_env_rules_load(&rules, path, &err), said ? -1 : 0);
    if (said) {
        assert_null(rules);
        if (!strstr(err.text, said) || !strstr(err.text, path))
            fail_msg("expected '%s' in: %s", said, err.text);
    }
    dt_env_rules_destroy(rules);
    unlink(path);
}

static void test_bad_files(void **state)
{
    struct dt_env_rules *rules;
    struct dt_error err;

    (void)state;
    assert_file_error("rule \"a\" {\n" GOOD "}\n", NULL);
    assert_file_error("", NULL);
    assert_file_error("rule \"a\" {\nwhen = 'efa.count'\naction = warn\nvariable = A\nreason = r\n",
                      ":6: at the end of the file: expected an option of the rule, or '}'");
    assert_file_error("rule \"a\" {\n" GOOD "}\nrule \"a\" {\n" GOOD "}\n",
                      ":9: rule \"a\": there is a rule of this name in line 1 already");
    assert_file_error("rule \"a\" {\n" GOOD "colour = red\n}\n",
                      ":8: rule \"a\": unknown option 'colour'");
    assert_file_error("rule \"a\" {\n" GOOD "harmm = x\n}\n", "did you mean 'harm'?");
    assert_file_error("rule \"a\" {\naction = set-if-unset\n}\n", "when is missing");
    assert_file_error("rule \"a\" {\nwhen = 'efa.count'\n}\n", "rule \"a\": action is ''");
    assert_file_error("rule \"a\" {\nwhen = 'efa.coun'\naction = warn\n}\n",
                      ":2: rule \"a\": condition, at 'efa.coun' (column 1): there is no fact of "
                      "this name; did you "
                      "mean 'efa.count'?");
    assert_file_error(
        "rule \"a\" {\nwhen = 'efa.count'\naction = explode\n}\n",
        "'explode', expected one of: set-if-unset, set, unset, keep, warn, refuse, off");
    assert_file_error("rule \"a\" {\nwhen = 'efa.count'\naction = warn\nvariable = \"A-B\"\n}\n",
                      "variable, at 'A-B': expected the name of an environment variable");
    assert_file_error("rule \"a\" {\nwhen = 'efa.count'\naction = warn\nvariable = A\n}\n",
                      "reason is missing");
    assert_file_error(
        "rule \"a\" {\nwhen = 'efa.count'\naction = warn\nvariable = A\nreason = r\n}\n",
        "source is missing");
    assert_file_error(
        "rule \"a\" {\nwhen = 'efa.count'\naction = set-if-unset\nvariable = A\nreason = r\n"
        "source = s\n}\n",
        "value is missing");
    assert_file_error(
        "rule \"a\" {\nwhen = 'efa.count'\naction = set-if-unset\nvariable = A\nreason = r\n"
        "source = s\nvalue = '${net.interfac}'\n}\n",
        "a fact that does not exist");
    assert_file_error("rule \"a\" {\n" GOOD "unknown = warn\n}\n", "only rules that refuse");
    assert_int_equal(dt_env_rules_load(&rules, "/nonexistent/env-rules.conf", &err), -1);
    assert_null(rules);
    assert_non_null(strstr(err.text, "/nonexistent/env-rules.conf"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conditions),
        cmocka_unit_test(test_bad_conditions),
        cmocka_unit_test(test_bad_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
