/* SPDX-License-Identifier: Apache-2.0 */
/* Applying the rules to one rank's environment. */
#include <stdlib.h>
#include <string.h>

#include "env/internal.h"
#include "facts/printable.h"

static char *printable(const char *text)
{
    char *copy = strdup(text);

    if (copy)
        dt_printable(copy);
    return copy;
}

/* What the rule says; with the doubt, where it could not be decided. */
static char *reason_of(const struct dt_env_rule *rule, bool certain)
{
    struct dt_buf reason = DT_BUF_INIT;

    if (!certain)
        dt_buf_puts(&reason, "whether this holds here is not known, as a version or the instance "
                             "type is not: ");
    dt_buf_puts(&reason, rule->reason);
    return dt_buf_take(&reason);
}

/* value: handed over. */
static int add_item(struct dt_env_plan *plan, const struct dt_env_rule *rule,
                    enum dt_env_action action, bool certain, char *value)
{
    struct dt_env_item *grown = realloc(plan->items, (plan->count + 1) * sizeof(*grown)), *item;

    if (!grown) {
        free(value);
        return -1;
    }
    plan->items = grown;
    item = &grown[plan->count++];
    item->variable = strdup(rule->variable);
    item->value = value;
    item->action = action;
    item->rule = strdup(rule->name);
    item->reason = reason_of(rule, certain);
    item->harm = strdup(rule->harm);
    item->source = strdup(rule->source);
    return item->variable && value && item->rule && item->reason && item->harm && item->source ? 0
                                                                                               : -1;
}

static bool has_item(const struct dt_env_plan *plan, const char *variable)
{
    for (size_t i = 0; i < plan->count; i++)
        if (!strcmp(plan->items[i].variable, variable))
            return true;
    return false;
}

/* A rule that sets: the first one for a variable wins, and the user's own value beats them all. */
static int apply_set(struct dt_env_plan *plan, const struct dt_env_rule *rule,
                     const struct dt_env_world *world, const char *user, bool certain)
{
    struct dt_buf value = DT_BUF_INIT;

    if (has_item(plan, rule->variable))
        return 0;
    if (user)
        return add_item(plan, rule, DT_ENV_KEEP, certain, printable(user));
    if (dt_env_template_expand(rule->value, world, &value)) {
        dt_buf_fini(&value); /* a fact in the value is not known: nothing to set */
        return 0;
    }
    return add_item(plan, rule, DT_ENV_SET, certain, dt_buf_take(&value));
}

static int apply_rule(struct dt_env_plan *plan, const struct dt_env_rule *rule,
                      const struct dt_env_world *world)
{
    const char *user = dt_env_user(world, rule->variable);
    enum dt_env_action action = rule->action;
    enum dt_truth holds;

    if (action != DT_ENV_SET && !user)
        return 0; /* the other actions are about what the user has */
    holds = dt_env_expr_eval(rule->when, world);
    if (holds == DT_FALSE || (holds == DT_UNKNOWN && rule->unknown == DT_UNKNOWN_SKIP))
        return 0;
    if (holds == DT_UNKNOWN && rule->unknown == DT_UNKNOWN_WARN)
        action = DT_ENV_WARN;
    if (action == DT_ENV_SET)
        return apply_set(plan, rule, world, user, holds == DT_TRUE);
    return add_item(plan, rule, action, holds == DT_TRUE, printable(user));
}

static void item_fini(struct dt_env_item *item)
{
    free(item->variable);
    free(item->value);
    free(item->rule);
    free(item->reason);
    free(item->harm);
    free(item->source);
}

/* The gravest word on a variable is the one that counts: refuse, else warnings, else the first of
 * set and keep. */
static int gravity(enum dt_env_action action)
{
    return action == DT_ENV_REFUSE ? 2 : action == DT_ENV_WARN;
}

static bool outdone(const struct dt_env_plan *plan, size_t index)
{
    const struct dt_env_item *item = &plan->items[index];

    for (size_t i = 0; i < plan->count; i++) {
        const struct dt_env_item *other = &plan->items[i];
        if (i == index || strcmp(other->variable, item->variable) != 0)
            continue;
        if (gravity(other->action) > gravity(item->action))
            return true;
        if (i < index && gravity(item->action) == 0 && gravity(other->action) == 0)
            return true;
    }
    return false;
}

static int drop_outdone(struct dt_env_plan *plan)
{
    bool *drop = calloc(plan->count ? plan->count : 1, sizeof(bool));
    size_t kept = 0;

    if (!drop)
        return -1;
    for (size_t i = 0; i < plan->count; i++)
        drop[i] = outdone(plan, i);
    for (size_t i = 0; i < plan->count; i++) {
        if (drop[i])
            item_fini(&plan->items[i]);
        else
            plan->items[kept++] = plan->items[i];
    }
    plan->count = kept;
    free(drop);
    return 0;
}

int dt_env_plan(struct dt_env_plan *plan, const struct dt_env_rules *rules,
                const struct dt_facts *facts, const struct dt_instance *instance,
                char *const *user_env, struct dt_error *err)
{
    struct dt_env_world world = {facts, instance, user_env};
    int rc = 0;

    memset(plan, 0, sizeof(*plan));
    for (size_t i = 0; i < rules->count && rc == 0; i++)
        rc = apply_rule(plan, &rules->items[i], &world);
    if (rc == 0)
        rc = drop_outdone(plan);
    if (rc == 0)
        rc = (plan->summary = dt_env_summary(plan)) ? 0 : -1;
    if (rc == 0)
        return 0;
    dt_env_plan_fini(plan);
    return dt_error_set(err, "no memory left for the environment plan");
}

void dt_env_plan_fini(struct dt_env_plan *plan)
{
    for (size_t i = 0; i < plan->count; i++)
        item_fini(&plan->items[i]);
    free(plan->items);
    free(plan->summary);
    memset(plan, 0, sizeof(*plan));
}
