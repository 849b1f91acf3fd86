/* SPDX-License-Identifier: Apache-2.0 */
/* Loading the rules file: all rules are checked before any is used. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"
#include "env/internal.h"

static int at_rule(cfg_t *section, struct dt_error *err)
{
    return dt_error_prefix(err, "%s:%d: rule \"%s\"", section->filename ? section->filename : "?",
                           section->line, cfg_title(section));
}

/* Which word of the list is it? -1 and a sentence that names them all. */
static int choice(const char *option, const char *word, const char *const *words,
                  struct dt_error *err)
{
    struct dt_buf list = DT_BUF_INIT;

    for (int i = 0; words[i]; i++)
        if (!strcmp(words[i], word))
            return i;
    for (int i = 0; words[i]; i++)
        dt_buf_printf(&list, "%s%s", i ? ", " : "", words[i]);
    dt_error_set(err, "%s is '%s', expected one of: %s", option, word, list.data ? list.data : "");
    dt_buf_fini(&list);
    return -1;
}

static bool variable_name(const char *text)
{
    if (!isalpha((unsigned char)*text) && *text != '_')
        return false;
    for (; *text; text++)
        if (!isalnum((unsigned char)*text) && *text != '_')
            return false;
    return true;
}

static int check_words(const struct dt_env_rule *rule, struct dt_error *err)
{
    if (!variable_name(rule->variable))
        return dt_error_set(err, "variable is '%s', expected the name of an environment variable",
                            rule->variable);
    if (!*rule->reason)
        return dt_error_set(err, "reason is missing; users are told it");
    if (!*rule->source)
        return dt_error_set(err, "source is missing; every rule says where it is from");
    if ((rule->action == DT_ENV_SET) != (*rule->value != '\0'))
        return dt_error_set(err, rule->action == DT_ENV_SET
                                     ? "value is missing; a rule that sets needs one, in single "
                                       "quotes when it has a ${fact}"
                                     : "value is given, but only rules that set use one");
    if (rule->unknown == DT_UNKNOWN_WARN && rule->action != DT_ENV_REFUSE)
        return dt_error_set(err, "unknown is 'warn', which only rules that refuse can have");
    return dt_env_template_check(rule->value, err);
}

static char *copy(cfg_t *section, const char *option)
{
    const char *text = cfg_getstr(section, option);
    return strdup(text ? text : "");
}

static int read_rule(struct dt_env_rule *rule, cfg_t *section, struct dt_error *err)
{
    static const char *const actions[] = {"set", "keep", "warn", "refuse", NULL};
    static const char *const unknowns[] = {"skip", "apply", "warn", NULL};
    const char *when = cfg_getstr(section, "when"), *action = cfg_getstr(section, "action");
    int index;

    rule->name = strdup(cfg_title(section));
    rule->variable = copy(section, "variable");
    rule->value = copy(section, "value");
    rule->reason = copy(section, "reason");
    rule->harm = copy(section, "harm");
    rule->source = copy(section, "source");
    if (!rule->name || !rule->variable || !rule->value || !rule->reason || !rule->harm ||
        !rule->source)
        return dt_error_set(err, "no memory left for the rules");
    if ((index = choice("action", action ? action : "", actions, err)) < 0)
        return -1;
    rule->action = (enum dt_env_action)index;
    if ((index = choice("unknown", cfg_getstr(section, "unknown"), unknowns, err)) < 0)
        return -1;
    rule->unknown = index;
    if (!when)
        return dt_error_set(err, "when is missing; a rule says under which condition it holds");
    if (!(rule->when = dt_env_expr_parse(when, err)))
        return -1;
    return check_words(rule, err);
}

static int read_rules(struct dt_env_rules *rules, cfg_t *cfg, struct dt_error *err)
{
    unsigned count = cfg_size(cfg, "rule");

    rules->items = calloc(count ? count : 1, sizeof(*rules->items));
    if (!rules->items)
        return dt_error_set(err, "no memory left for the rules");
    for (unsigned i = 0; i < count; i++) {
        cfg_t *section = cfg_getnsec(cfg, "rule", i);
        if (read_rule(&rules->items[rules->count++], section, err))
            return at_rule(section, err);
    }
    return 0;
}

int dt_env_rules_load(struct dt_env_rules **rules, const char *path, struct dt_error *err)
{
    cfg_opt_t rule[] = {
        CFG_STR("when", NULL, CFGF_NONE),
        CFG_STR("unknown", "skip", CFGF_NONE),
        CFG_STR("action", NULL, CFGF_NONE),
        CFG_STR("variable", NULL, CFGF_NONE),
        CFG_STR("value", NULL, CFGF_NONE),
        CFG_STR("reason", NULL, CFGF_NONE),
        CFG_STR("harm", NULL, CFGF_NONE),
        CFG_STR("source", NULL, CFGF_NONE),
        CFG_END(),
    };
    cfg_opt_t options[] = {
        CFG_SEC("rule", rule, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES),
        CFG_END(),
    };
    cfg_t *cfg = NULL;
    int rc = -1;

    *rules = calloc(1, sizeof(**rules));
    if (!*rules)
        return dt_error_set(err, "no memory left for the rules");
    if (dt_conf_parse_file(&cfg, options, path, err) == 0)
        rc = read_rules(*rules, cfg, err);
    if (cfg)
        cfg_free(cfg);
    if (rc) {
        dt_env_rules_destroy(*rules);
        *rules = NULL;
    }
    return rc;
}

void dt_env_rules_destroy(struct dt_env_rules *rules)
{
    if (!rules)
        return;
    for (size_t i = 0; i < rules->count; i++) {
        struct dt_env_rule *rule = &rules->items[i];
        free(rule->name);
        dt_env_expr_destroy(rule->when);
        free(rule->variable);
        free(rule->value);
        free(rule->reason);
        free(rule->harm);
        free(rule->source);
    }
    free(rules->items);
    free(rules);
}
