/* SPDX-License-Identifier: Apache-2.0 */
/* Both sides of the condition of every shipped rule, from env_truth.txt. */
#include "env_scene.h"

struct truth {
    struct dt_env_rules *rules;
    const struct dt_env_rule *rule; /* of the section that is being read */
    bool *holds, *fails;            /* of each rule: the file has such a line */
    int line;
};

static const struct dt_env_rule *rule_named(const struct truth *t, const char *name)
{
    for (size_t i = 0; i < t->rules->count; i++)
        if (!strcmp(t->rules->items[i].name, name))
            return &t->rules->items[i];
    fail_msg("env_truth.txt:%d: there is no rule %s", t->line, name);
    return NULL;
}

static bool holds_in(const struct truth *t, const char *type, const char *facts, const char *env)
{
    struct scene scene;
    struct dt_env_world world;
    struct dt_env_hits hits;
    bool holds = false;

    scene_init(&scene, type, facts, env);
    if (!scene.instance && strcmp(type, "?") != 0)
        fail_msg("env_truth.txt:%d: env_scene.h has no type %s", t->line, type);
    assert_int_equal(
        dt_env_world_init(&world, &t->rules->names, &scene.facts, scene.instance, scene.env), 0);
    assert_int_equal(dt_env_judge(&hits, t->rules, &world), 0);
    for (size_t i = 0; i < hits.count; i++)
        if (hits.items[i].rule == t->rule && hits.items[i].action == t->rule->action)
            holds = true;
    dt_env_hits_fini(&hits);
    dt_env_world_fini(&world);
    scene_fini(&scene);
    return holds;
}

static char *next_field(char **rest)
{
    char *field = *rest ? strsep(rest, "|") : NULL, *end;

    if (!field)
        return (char *)"";
    field += strspn(field, " ");
    for (end = field + strlen(field); end > field && end[-1] == ' ';)
        *--end = '\0';
    return field;
}

static void read_line(struct truth *t, char *line)
{
    char *rest = line + 1, *type, *facts, *env;
    bool want = *line == '+';

    line[strcspn(line, "\n")] = '\0';
    if (!*line || *line == '#')
        return;
    if (*line == '[') {
        line[strcspn(line, "]")] = '\0';
        t->rule = rule_named(t, line + 1);
        return;
    }
    if ((!want && *line != '-') || !t->rule)
        fail_msg("env_truth.txt:%d: no [RULE] and no + or - line", t->line);
    type = next_field(&rest);
    facts = next_field(&rest);
    env = next_field(&rest);
    (want ? t->holds : t->fails)[t->rule - t->rules->items] = true;
    if (holds_in(t, type, facts, env) != want)
        fail_msg("env_truth.txt:%d: rule %s should%s hold on %s '%s' with '%s'", t->line,
                 t->rule->name, want ? "" : " not", type, facts, env);
}

static void test_both_sides(void **state)
{
    struct truth t = {.rules = load_shipped()};
    char *path = source_path("tests/unit/env_truth.txt"), *line = NULL;
    FILE *file = fopen(path, "re");
    size_t room = 0;

    (void)state;
    if (!file)
        fail_msg("%s can not be read", path);
    t.holds = calloc(t.rules->count, sizeof(bool));
    t.fails = calloc(t.rules->count, sizeof(bool));
    while (t.line++, getline(&line, &room, file) >= 0)
        read_line(&t, line);
    for (size_t i = 0; i < t.rules->count; i++)
        if (!t.holds[i] || !t.fails[i])
            fail_msg("rule %s has no line with %c in env_truth.txt", t.rules->items[i].name,
                     t.holds[i] ? '-' : '+');
    assert_true(t.rules->count >= 180);
    fclose(file);
    free(line);
    free(path);
    free(t.holds);
    free(t.fails);
    dt_env_rules_destroy(t.rules);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_both_sides)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
