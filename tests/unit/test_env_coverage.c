/* SPDX-License-Identifier: Apache-2.0 */
/* docs/env-coverage.md, row by row: each names rules that exist or says why there is none, all rules
 * are named, and dt-env has something to say of each variable. */
#include "env_scene.h"

struct coverage {
    struct dt_env_rules *rules;
    struct dt_env_variables *variables;
    bool *named; /* of each rule */
    size_t rows;
    int line;
};

static bool rule_index(const struct coverage *c, const char *name, size_t *index)
{
    for (*index = 0; *index < c->rules->count; ++*index)
        if (!strcmp(c->rules->items[*index].name, name))
            return true;
    return false;
}

static bool rules_speak_of(const struct coverage *c, const char *variable)
{
    for (size_t i = 0; i < c->rules->count; i++)
        for (size_t k = 0; k < c->rules->items[i].subject_count; k++)
            if (!strcmp(c->rules->items[i].subjects[k].name, variable))
                return true;
    return false;
}

/* `NAME` in the first column. */
static void check_variables(const struct coverage *c, char *cell)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

    for (char *p = strchr(cell, '`'); p; p = strchr(p + 1, '`')) {
        char *name = p + 1, *end = strchr(name, '`');
        if (!end)
            fail_msg("env-coverage.md:%d: a ` is not closed", c->line);
        *end = '\0';
        if (strchr(letters, *name) && !rules_speak_of(c, name) &&
            !dt_env_variables_find(c->variables, name))
            fail_msg("env-coverage.md:%d: neither a rule nor env-variables.conf knows %s", c->line,
                     name);
        p = end;
    }
}

static void check_rules(struct coverage *c, char *cell)
{
    char *save = NULL;
    size_t index, count = 0;

    if (!strncmp(cell, "none: ", 6)) {
        assert_true(strlen(cell) > 20);
        return;
    }
    for (char *name = strtok_r(cell, ", ", &save); name; name = strtok_r(NULL, ", ", &save)) {
        if (!rule_index(c, name, &index))
            fail_msg("env-coverage.md:%d: there is no rule '%s'", c->line, name);
        c->named[index] = true;
        count++;
    }
    if (count == 0)
        fail_msg("env-coverage.md:%d: neither a rule nor a reason why there is none", c->line);
}

static void read_line(struct coverage *c, char *line)
{
    char *end, *cell;

    if (strncmp(line, "| ", 2) != 0 || !strncmp(line, "| ---", 5) || strstr(line, "| rules, or"))
        return;
    cell = strstr(line, " | ");
    end = strrchr(line, '|');
    if (!cell || end < cell + 3)
        fail_msg("env-coverage.md:%d: no row of two columns", c->line);
    *cell = '\0';
    end[-1] = '\0';
    c->rows++;
    check_variables(c, line);
    check_rules(c, cell + 3);
}

static void test_every_row(void **state)
{
    struct coverage c = {.rules = load_shipped()};
    struct dt_error err = {0};
    char *path = shipped_copy("configs/env-variables.conf"), *line = NULL;
    size_t room = 0;

    (void)state;
    if (dt_env_variables_load(&c.variables, path, &err))
        fail_msg("%s", err.text);
    shipped_drop(path);
    c.named = calloc(c.rules->count, sizeof(bool));
    path = source_path("docs/env-coverage.md");
    FILE *file = fopen(path, "re");
    if (!file)
        fail_msg("%s can not be read", path);
    while (c.line++, getline(&line, &room, file) >= 0)
        read_line(&c, line);
    assert_true(c.rows > 100);
    for (size_t i = 0; i < c.rules->count; i++)
        if (!c.named[i])
            fail_msg("rule %s is in no row of %s", c.rules->items[i].name, path);
    fclose(file);
    free(line);
    free(path);
    free(c.named);
    dt_env_variables_destroy(c.variables);
    dt_env_rules_destroy(c.rules);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_row)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
