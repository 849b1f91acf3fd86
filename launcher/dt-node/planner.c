/* SPDX-License-Identifier: Apache-2.0 */
/* The plan as a whole. */
#include "planner.h"

#include <stdlib.h>
#include <string.h>

bool planner_is(const char *mode, const char *word)
{
    size_t len = strlen(word);
    return strncmp(mode, word, len) == 0 && (!mode[len] || mode[len] == ',');
}

bool planner_has(const char *mode, const char *word)
{
    for (const char *c = mode; *c; c += strcspn(c, ","), c += *c == ',') {
        if (planner_is(c, word))
            return true;
    }
    return false;
}

size_t planner_number(const char *mode, const char *name)
{
    size_t len = strlen(name);
    for (const char *c = mode; *c; c += strcspn(c, ","), c += *c == ',') {
        if (strncmp(c, name, len) == 0)
            return strtoul(c + len, NULL, 10);
    }
    return 0;
}

bool planner_wants(const char *mode)
{
    return !planner_is(mode, "off") && !planner_is(mode, "none");
}

bool planner_is_first_node(const struct planner *p)
{
    return p->request->node_id == 0 && p->request->het_group <= 0;
}

bool planner_speaks(const struct planner *p, const char *mode)
{
    return planner_is_first_node(p) && (p->decision || planner_is(mode, "explain"));
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

static void put_head(const struct planner *p, struct dt_buf *plan)
{
    /* Neither the token nor settings of this step may reach the program, nor those of a step around
     * this one. */
    dt_plan_all_unset(plan, "SLURM_DT_SETTINGS");
    dt_plan_all_unset(plan, "SLURM_DT_RENDEZVOUS");
    dt_plan_all_unset(plan, "DT_BIND_MODE");
    dt_plan_all_unset(plan, "DT_BIND_CONFIG");
    planner_put_ranks(p, plan);
}

int planner_write(const struct planner *p, struct dt_buf *plan, struct dt_error *err)
{
    struct dt_buf binding = DT_BUF_INIT;
    struct planner_rank *ranks = calloc((size_t)p->request->local_tasks, sizeof *ranks);
    int rc = -1;
    if (!ranks)
        return dt_error_set(err, "out of memory");
    dt_plan_begin(plan);
    if (!p->binding_only)
        put_head(p, plan);
    /* Rules can ask what a rank was bound to, so that part is made first and written last. */
    if (planner_put_binding(p, ranks, &binding, err) < 0 ||
        (!p->binding_only && planner_put_env(p, ranks, plan, err) < 0))
        goto out;
    if (p->looks)
        planner_put_look(p, plan);
    dt_buf_puts(plan, binding.data ? binding.data : "");
    dt_plan_end(plan);
    rc = plan->failed || binding.failed ? dt_error_set(err, "out of memory") : 0;
out:
    dt_buf_fini(&binding);
    free(ranks);
    return rc;
}
