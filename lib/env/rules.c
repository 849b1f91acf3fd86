/* SPDX-License-Identifier: Apache-2.0 */
/* Rules files: opened under dt's trust rules, the shipped one and the admin's put together. */
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"
#include "env/internal.h"

const char *dt_env_action_name(enum dt_env_action action)
{
    static const char *const names[] = {"set-if-unset", "set", "unset", "keep", "warn", "refuse"};
    return names[action];
}

const char *dt_env_severity_name(enum dt_env_severity severity)
{
    static const char *const names[] = {"fine", "no-effect", "slow", "abort"};
    return names[severity];
}

char *dt_env_rules_text(const char *path, size_t *len, struct dt_error *err)
{
    int open_errno;
    char *text = dt_conf_read_text(path, len, &open_errno, err);

    if (text && strlen(text) != *len) {
        dt_error_set(err, "%s holds a NUL byte: not a text file", path);
        free(text);
        return NULL;
    }
    return text;
}

static int take_shipped(struct dt_env_rules **rules, const char *path, char *text,
                        struct dt_error *err)
{
    *rules = calloc(1, sizeof(**rules));
    if (!*rules) {
        free(text);
        return dt_error_set(err, "no memory left for the rules");
    }
    if (dt_env_rules_parse(*rules, path, text, false, err) == 0)
        return 0;
    dt_env_rules_destroy(*rules);
    *rules = NULL;
    return -1;
}

int dt_env_rules_load(struct dt_env_rules **rules, const char *path, struct dt_error *err)
{
    size_t len;
    char *text = dt_env_rules_text(path, &len, err);

    *rules = NULL;
    return text ? take_shipped(rules, path, text, err) : -1;
}

static bool replaced(const struct dt_env_rule *rule, const struct dt_env_rule *site, size_t count)
{
    for (size_t i = 0; i < count && !rule->site; i++)
        if (!strcmp(site[i].name, rule->name))
            return true;
    return false;
}

static void drop_rule(struct dt_env_rule *rule)
{
    dt_env_expr_destroy(rule->when);
    free(rule->subjects);
}

/* The admin's rules stand behind the shipped ones, from `first` on: bring them to the front. */
static int put_in_front(struct dt_env_rules *rules, size_t first)
{
    struct dt_env_rule *all = calloc(rules->count + 1, sizeof(*all));
    size_t kept = 0, site = rules->count - first;

    if (!all)
        return -1;
    for (size_t i = 0; i < rules->count; i++) {
        struct dt_env_rule *rule = &rules->items[i < site ? first + i : i - site];
        if (rule->off || replaced(rule, &rules->items[first], site))
            continue;
        all[kept++] = *rule;
        rule->when = NULL;
        rule->subjects = NULL;
    }
    for (size_t i = 0; i < rules->count; i++)
        drop_rule(&rules->items[i]);
    free(rules->items);
    rules->items = all;
    rules->count = kept;
    return 0;
}

static int take_site(struct dt_env_rules *rules, const char *path, char *text, struct dt_error *err)
{
    size_t first = rules->count;

    if (dt_env_rules_parse(rules, path, text, true, err))
        return -1;
    if (put_in_front(rules, first) == 0)
        return 0;
    while (rules->count > first)
        drop_rule(&rules->items[--rules->count]);
    return dt_error_set(err, "no memory left for the rules");
}

int dt_env_rules_add_site(struct dt_env_rules *rules, const char *path, struct dt_error *err)
{
    size_t len;
    char *text = dt_env_rules_text(path, &len, err);

    return text ? take_site(rules, path, text, err) : -1;
}

int dt_env_rules_take(struct dt_env_rules **rules, const char *path, char *text, bool site,
                      struct dt_error *err)
{
    return site ? take_site(*rules, path, text, err) : take_shipped(rules, path, text, err);
}

static bool condition_uses(const struct dt_env_expr *expr, int fact)
{
    for (size_t i = 0; expr && i < expr->count; i++) {
        const struct dt_env_operand *a = &expr->nodes[i].a, *b = &expr->nodes[i].b;
        if ((a->kind == DT_OPERAND_FACT && a->index == fact) ||
            (b->kind == DT_OPERAND_FACT && b->index == fact))
            return true;
    }
    return false;
}

static bool value_uses(const char *value, const char *fact)
{
    size_t len = strlen(fact);

    for (const char *p = strstr(value, "${"); p; p = strstr(p + 2, "${"))
        if (!strncmp(p + 2, fact, len) && p[2 + len] == '}')
            return true;
    return false;
}

bool dt_env_rules_use(const struct dt_env_rules *rules, const char *fact)
{
    int index = dt_env_fact_index(fact, strlen(fact));

    for (size_t i = 0; i < rules->count; i++)
        if (condition_uses(rules->items[i].when, index) || value_uses(rules->items[i].value, fact))
            return true;
    return false;
}
