/* SPDX-License-Identifier: Apache-2.0 */
/* What one rank's environment shall be. */
#include <stdlib.h>
#include <string.h>

#include "env/internal.h"

/* The hit's texts are handed over. */
static int add_item(struct dt_env_plan *plan, struct dt_env_hit *hit)
{
    struct dt_env_item *item = &plan->items[plan->count++];

    item->fix = dt_env_hit_fix(hit);
    item->variable = hit->variable;
    item->value = hit->value;
    hit->variable = hit->value = NULL;
    item->action = hit->action;
    item->severity = dt_env_hit_severity(hit);
    item->rule = strdup(hit->rule->name);
    item->reason = dt_env_hit_reason(hit, "");
    item->harm = strdup(hit->rule->harm);
    item->source = strdup(hit->rule->source);
    return item->variable && item->value && item->rule && item->reason && item->harm && item->fix &&
                   item->source
               ? 0
               : -1;
}

static void item_fini(struct dt_env_item *item)
{
    free(item->variable);
    free(item->value);
    free(item->rule);
    free(item->reason);
    free(item->harm);
    free(item->fix);
    free(item->source);
}

/* The gravest word on a variable is the one that counts: the admin's, else refuse, else warnings,
 * else the first of set and keep. */
static int gravity(enum dt_env_action action)
{
    if (action == DT_ENV_FORCE || action == DT_ENV_UNSET)
        return 3;
    return action == DT_ENV_REFUSE ? 2 : action == DT_ENV_WARN;
}

static bool same_variable(const struct dt_env_item *a, const struct dt_env_item *b)
{
    return a->variable && b->variable && !strcmp(a->variable, b->variable);
}

static bool outdone(const struct dt_env_plan *plan, size_t index)
{
    const struct dt_env_item *item = &plan->items[index];

    for (size_t i = 0; i < plan->count; i++) {
        const struct dt_env_item *other = &plan->items[i];
        if (i == index || !same_variable(other, item))
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

static int fill(struct dt_env_plan *plan, struct dt_env_hits *hits)
{
    plan->items = calloc(hits->count + 1, sizeof(*plan->items));
    if (!plan->items)
        return -1;
    for (size_t i = 0; i < hits->count; i++)
        if (strcmp(hits->items[i].variable, DT_ENV_NODE) != 0 && add_item(plan, &hits->items[i]))
            return -1;
    return drop_outdone(plan);
}

int dt_env_plan(struct dt_env_plan *plan, const struct dt_env_rules *rules,
                const struct dt_facts *facts, const struct dt_instance *instance,
                char *const *user_env, struct dt_error *err)
{
    struct dt_env_world world;
    struct dt_env_hits hits = {0};
    int rc = dt_env_world_init(&world, &rules->names, facts, instance, user_env);

    memset(plan, 0, sizeof(*plan));
    if (rc == 0)
        rc = dt_env_judge(&hits, rules, &world);
    if (rc == 0)
        rc = fill(plan, &hits);
    if (rc == 0)
        rc = (plan->summary = dt_env_summary(plan)) ? 0 : -1;
    dt_env_hits_fini(&hits);
    dt_env_world_fini(&world);
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
