/* SPDX-License-Identifier: Apache-2.0 */
/* The plan as a whole, and its environment part. */
#include "planner.h"

#include <stdlib.h>
#include <string.h>

bool planner_is(const char *mode, const char *word)
{
    size_t len = strlen(word);
    return strncmp(mode, word, len) == 0 && (!mode[len] || mode[len] == ',');
}

bool planner_wants(const char *mode)
{
    return !planner_is(mode, "off") && !planner_is(mode, "none");
}

static bool is_first_node(const struct dt_request *request)
{
    return request->node_id == 0 && request->het_group <= 0;
}

bool planner_speaks(const struct planner *p, const char *mode)
{
    return is_first_node(p->request) && (p->decision || planner_is(mode, "explain"));
}

void planner_say(struct dt_buf *plan, const char *text)
{
    while (*text) {
        size_t len = strcspn(text, "\n");
        struct dt_buf line = DT_BUF_INIT;
        dt_buf_puts(&line, "dt: ");
        dt_buf_append(&line, text, len);
        char *whole = dt_buf_take(&line);
        if (whole)
            dt_plan_rank_say(plan, 0, whole);
        else
            plan->failed = true;
        free(whole);
        text += len + (text[len] == '\n');
    }
}

/* What the user should change. With validation a refused variable has failed the "env" check. */
static void say_warnings(const struct planner *p, struct dt_buf *plan)
{
    for (size_t i = 0; is_first_node(p->request) && i < p->engine->env.count; i++) {
        const struct dt_env_item *item = &p->engine->env.items[i];
        if (item->action != DT_ENV_WARN && item->action != DT_ENV_REFUSE)
            continue;
        struct dt_buf line = DT_BUF_INIT;
        dt_buf_printf(&line, "warning: %s=%s: %s", item->variable, item->value, item->reason);
        planner_say(plan, line.data ? line.data : "");
        dt_buf_fini(&line);
    }
}

static void say_env(const struct planner *p, struct dt_buf *plan)
{
    /* The one-line summary is in dt-gather's table, which knows of all nodes. */
    if (!is_first_node(p->request) || !planner_is(p->request->env, "explain"))
        return;
    char *table = dt_env_explain(&p->engine->env);
    if (table)
        planner_say(plan, table);
    else
        plan->failed = true;
    free(table);
}

static void put_env(const struct planner *p, struct dt_buf *plan)
{
    struct dt_buf applied = DT_BUF_INIT;
    if (!p->engine->rules)
        return;
    for (size_t i = 0; i < p->engine->env.count; i++) {
        const struct dt_env_item *item = &p->engine->env.items[i];
        if (item->action != DT_ENV_SET)
            continue;
        /* "default": what a user, Slurm or another plugin sets later still stands. */
        dt_plan_all_default(plan, item->variable, item->value);
        dt_buf_printf(&applied, "%s%s", applied.len ? "," : "", item->variable);
    }
    char *names = dt_buf_take(&applied);
    dt_plan_all_set(plan, "DT_ENV_APPLIED", names ? names : "");
    free(names);
    say_env(p, plan);
    if (!planner_is(p->request->env, "explain")) /* its table has the warnings */
        say_warnings(p, plan);
}

int planner_write(const struct planner *p, struct dt_buf *plan, struct dt_error *err)
{
    dt_plan_begin(plan);
    /* Neither the token nor settings of this step may reach the program. */
    dt_plan_all_unset(plan, "SLURM_DT_SETTINGS");
    dt_plan_all_unset(plan, "SLURM_DT_RENDEZVOUS");
    planner_put_ranks(p, plan);
    if (planner_put_binding(p, plan, err) < 0)
        return -1;
    put_env(p, plan);
    dt_plan_end(plan);
    return plan->failed ? dt_error_set(err, "out of memory") : 0;
}
