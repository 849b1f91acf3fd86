/* SPDX-License-Identifier: Apache-2.0 */
/* The environment plan in words: one line for every job, a table for whoever asked. */
#include <stdlib.h>
#include <string.h>

#include "env/internal.h"

static const struct {
    enum dt_env_action action;
    const char *one, *many; /* in the summary */
    const char *column;     /* in the table */
} words[] = {
    {DT_ENV_SET, "set", "set", "set"},
    {DT_ENV_FORCE, "overwritten", "overwritten", "SET"},
    {DT_ENV_UNSET, "taken away", "taken away", "UNSET"},
    {DT_ENV_KEEP, "kept", "kept", "keep"},
    {DT_ENV_WARN, "warning", "warnings", "WARN"},
    {DT_ENV_REFUSE, "refused", "refused", "REFUSE"},
};
#define WORD_COUNT (sizeof(words) / sizeof(words[0]))

static size_t count_of(const struct dt_env_plan *plan, enum dt_env_action action)
{
    size_t count = 0;

    for (size_t i = 0; i < plan->count; i++)
        count += plan->items[i].action == action;
    return count;
}

static void put_items(struct dt_buf *out, const struct dt_env_plan *plan, enum dt_env_action action)
{
    const char *separator = " (";
    bool gives = action == DT_ENV_SET || action == DT_ENV_FORCE;

    for (size_t i = 0; i < plan->count; i++) {
        const struct dt_env_item *item = &plan->items[i];
        if (item->action != action)
            continue;
        dt_buf_printf(out, "%s%s", separator, item->variable);
        if (gives)
            dt_buf_printf(out, "=%s", item->value);
        separator = gives ? " " : ", ";
    }
    dt_buf_puts(out, ")");
}

char *dt_env_summary(const struct dt_env_plan *plan)
{
    struct dt_buf out = DT_BUF_INIT;
    const char *separator = "env: ";

    for (size_t w = 0; w < WORD_COUNT; w++) {
        size_t count = count_of(plan, words[w].action);
        if (count == 0)
            continue;
        dt_buf_printf(&out, "%s%zu %s", separator, count,
                      count == 1 ? words[w].one : words[w].many);
        put_items(&out, plan, words[w].action);
        separator = ", ";
    }
    if (plan->count == 0)
        dt_buf_puts(&out, "env: nothing to set on this node");
    return dt_buf_take(&out);
}

char *dt_env_explain(const struct dt_env_plan *plan)
{
    struct dt_buf out = DT_BUF_INIT;
    size_t width = strlen("VARIABLE");

    for (size_t i = 0; i < plan->count; i++)
        if (strlen(plan->items[i].variable) > width)
            width = strlen(plan->items[i].variable);
    dt_buf_printf(&out, "%s\n", plan->summary ? plan->summary : "");
    if (plan->count > 0)
        dt_buf_printf(&out, "%-6s  %-*s  VALUE\n", "ACTION", (int)width, "VARIABLE");
    for (size_t i = 0; i < plan->count; i++) {
        const struct dt_env_item *item = &plan->items[i];
        dt_buf_printf(&out, "%-6s  %-*s  %s\n", words[item->action].column, (int)width,
                      item->variable, item->value);
        dt_buf_printf(&out, "        why: %s\n", item->reason);
        if (*item->harm)
            dt_buf_printf(&out, "        else: %s\n", item->harm);
        if (*item->fix)
            dt_buf_printf(&out, "        fix: %s\n", item->fix);
        dt_buf_printf(&out, "        rule %s; source: %s\n", item->rule, item->source);
    }
    return dt_buf_take(&out);
}
