/* SPDX-License-Identifier: Apache-2.0 */
/* Environment part of the plan: what the rules give to all ranks of the node, what to one of them
 * where the value depends on the rank, and what the user is told. */
#include "planner.h"

#include <stdlib.h>
#include <string.h>

static bool is_over(enum dt_env_action action)
{
    return action == DT_ENV_FORCE || action == DT_ENV_UNSET;
}

/* "env-default": what a user, Slurm or another plugin sets later still stands. */
static void put_item(struct dt_buf *plan, int rank, const struct dt_env_item *item)
{
    if (item->action == DT_ENV_SET)
        dt_plan_env_default(plan, rank, item->variable, item->value);
    else if (item->action == DT_ENV_FORCE)
        dt_plan_env_set(plan, rank, item->variable, item->value);
    else if (item->action == DT_ENV_UNSET)
        dt_plan_env_unset(plan, rank, item->variable);
}

static bool gives_same(const struct dt_env_item *a, const struct dt_env_item *b)
{
    return a->action == b->action && strcmp(a->variable, b->variable) == 0 &&
           strcmp(a->value, b->value) == 0;
}

static bool is_in(const struct dt_env_plan *plan, const struct dt_env_item *item)
{
    for (size_t i = 0; i < plan->count; i++) {
        if (gives_same(&plan->items[i], item))
            return true;
    }
    return false;
}

static bool put_fact(json_t *doc, const char *name, int value)
{
    return json_object_set_new(doc, name, json_integer(value)) == 0;
}

/* The node's facts and those of one rank, in a copy. */
static int rank_facts(struct dt_facts *facts, const struct planner *p, int rank,
                      const struct planner_rank *known, struct dt_error *err)
{
    json_t *doc = json_copy(p->engine->facts.doc);
    *facts = (struct dt_facts){.doc = doc};
    bool good = doc && put_fact(doc, "rank.local", rank);
    if (known->known)
        good = good && put_fact(doc, "rank.cores", known->cores) &&
               put_fact(doc, "rank.gpus", known->gpus) && put_fact(doc, "rank.nics", known->nics);
    return good ? 0 : dt_error_set(err, "out of memory");
}

static int plan_rank(struct dt_env_plan *env, const struct planner *p, int rank,
                     const struct planner_rank *known, struct dt_error *err)
{
    struct dt_facts facts;
    int rc = rank_facts(&facts, p, rank, known, err);
    if (rc == 0)
        rc = dt_env_plan(env, p->engine->rules, &facts, p->engine->instance, p->engine->user_env,
                         err);
    json_decref(facts.doc);
    return rc;
}

/* What this rank gets besides, or instead of, what all get. */
static void put_rank(const struct planner *p, struct dt_buf *plan, int rank,
                     const struct dt_env_plan *env, struct dt_buf *told)
{
    for (size_t i = 0; i < env->count; i++) {
        const struct dt_env_item *item = &env->items[i];
        if (is_in(&p->engine->env, item))
            continue;
        put_item(plan, rank, item);
        if (item->action == DT_ENV_SET || item->action == DT_ENV_FORCE)
            dt_buf_printf(told, "  local rank %d: %s=%s (rule %s)\n", rank, item->variable,
                          item->value, item->rule);
    }
}

static bool same_shape(const struct planner_rank *a, const struct planner_rank *b)
{
    return a->known == b->known && a->cores == b->cores && a->gpus == b->gpus && a->nics == b->nics;
}

/* Ranks are mostly alike, and then so are their environments, but for rules that count them. */
static int put_ranks(const struct planner *p, const struct planner_rank *ranks, struct dt_buf *plan,
                     struct dt_buf *told, struct dt_error *err)
{
    bool counted = dt_env_rules_use(p->engine->rules, "rank.local");
    struct dt_env_plan env = {0};
    int rc = 0;
    for (int rank = 0; rank < p->request->local_tasks && rc == 0; rank++) {
        if (rank == 0 || counted || !same_shape(&ranks[rank], &ranks[rank - 1])) {
            dt_env_plan_fini(&env);
            rc = plan_rank(&env, p, rank, &ranks[rank], err);
        }
        if (rc == 0)
            put_rank(p, plan, rank, &env, told);
    }
    dt_env_plan_fini(&env);
    return rc;
}

static void put_all(const struct planner *p, struct dt_buf *plan, bool over)
{
    for (size_t i = 0; i < p->engine->env.count; i++) {
        if (is_over(p->engine->env.items[i].action) == over)
            put_item(plan, -1, &p->engine->env.items[i]);
    }
}

/* What the user should change. With validation a refused variable has failed the "env" check. */
static void say_warnings(const struct planner *p, struct dt_buf *plan)
{
    for (size_t i = 0; i < p->engine->env.count; i++) {
        const struct dt_env_item *item = &p->engine->env.items[i];
        if (item->action != DT_ENV_WARN && item->action != DT_ENV_REFUSE)
            continue;
        struct dt_buf line = DT_BUF_INIT;
        char *origin = engine_origin(p->engine, item->variable);
        dt_buf_printf(&line, "warning: %s=%s (from %s): %s%s%s%s%s", item->variable, item->value,
                      origin ? origin : "?", item->reason, *item->harm ? ": " : "", item->harm,
                      *item->fix ? "; " : "", item->fix);
        planner_say(plan, line.data ? line.data : "");
        plan->failed |= line.failed || !origin;
        dt_buf_fini(&line);
        free(origin);
    }
}

/* The rules have a mistake, and the job goes on without them, or with the last good ones. */
static void say_bad_rules(const struct planner *p, struct dt_buf *plan)
{
    if (!*p->engine->rules_warning.text || p->decision)
        return; /* with validation the check "env" tells it */
    struct dt_buf line = DT_BUF_INIT;
    dt_buf_printf(&line, "warning: %s", p->engine->rules_warning.text);
    planner_say(plan, line.data ? line.data : "");
    dt_buf_fini(&line);
}

static void say_explanation(const struct planner *p, struct dt_buf *plan, const char *by_rank)
{
    char *table = engine_explain_env(p->engine);
    if (table)
        planner_say(plan, table);
    else
        plan->failed = true;
    free(table);
    if (by_rank && *by_rank) {
        planner_say(plan, "depending on the rank:");
        planner_say(plan, by_rank);
    }
}

static void say(const struct planner *p, struct dt_buf *plan, const char *by_rank)
{
    if (!planner_is_first_node(p))
        return;
    say_bad_rules(p, plan);
    if (planner_is(p->request->env, "explain")) {
        say_explanation(p, plan, by_rank); /* it has the warnings */
        return;
    }
    say_warnings(p, plan); /* what was set, dt-gather's table has told */
}

int planner_put_env(const struct planner *p, const struct planner_rank *ranks, struct dt_buf *plan,
                    struct dt_error *err)
{
    struct dt_buf told = DT_BUF_INIT;
    int rc = 0;
    if (!p->engine->rules)
        return 0;
    /* Its presence says that dt was here; the plugin adds the names. Where two lines are about one
     * variable, the rank's own counts: the last that overwrites, the first that does not. */
    dt_plan_all_set(plan, "DT_ENV_APPLIED", "");
    put_all(p, plan, true);
    rc = put_ranks(p, ranks, plan, &told, err);
    put_all(p, plan, false);
    if (rc == 0)
        say(p, plan, told.data);
    dt_buf_fini(&told);
    return rc;
}
