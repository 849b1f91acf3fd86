/* SPDX-License-Identifier: Apache-2.0 */
/* The rules as a document: docs/env-rules.md and the section RULES of dt-env(1). */
#include <string.h>

#include "env/internal.h"

static const char *when_unknown(const struct dt_env_rule *rule)
{
    return rule->unknown == DT_UNKNOWN_APPLY  ? "holds"
           : rule->unknown == DT_UNKNOWN_WARN ? "a warning"
                                              : "does not hold";
}

/* In Markdown '|' ends a cell and '<' begins a tag; in scdoc '_' and '*' underline. */
static void put(struct dt_buf *out, const char *text, bool scdoc)
{
    for (; *text; text++) {
        if (scdoc ? strchr("_*\\#<>~|[]", *text) != NULL : strchr("|<>*_\\", *text) != NULL)
            dt_buf_puts(out, "\\");
        dt_buf_append(out, text, 1);
    }
}

static void put_subjects(struct dt_buf *out, const struct dt_env_rule *rule, bool scdoc)
{
    for (size_t i = 0; i < rule->subject_count; i++) {
        dt_buf_puts(out, i ? ", " : "");
        put(out, rule->subjects[i].name, scdoc);
    }
}

static void put_action(struct dt_buf *out, const struct dt_env_rule *rule, bool scdoc)
{
    dt_buf_puts(out, dt_env_action_name(rule->action));
    if (*rule->value) {
        dt_buf_puts(out, " ");
        put(out, rule->value, scdoc);
    }
    if (rule->action == DT_ENV_WARN)
        dt_buf_printf(out, " (%s)", dt_env_severity_name(rule->severity));
}

static void put_markdown(struct dt_buf *out, const struct dt_env_rule *rule)
{
    dt_buf_printf(out, "| %s | ", rule->name);
    put_subjects(out, rule, false);
    dt_buf_puts(out, " | ");
    put_action(out, rule, false);
    dt_buf_puts(out, " | ");
    put(out, rule->condition, false);
    dt_buf_printf(out, " | %s | ", when_unknown(rule));
    put(out, rule->reason, false);
    dt_buf_puts(out, *rule->harm ? ". Else: " : "");
    put(out, rule->harm, false);
    dt_buf_puts(out, " | ");
    put(out, rule->source, false);
    dt_buf_puts(out, " |\n");
}

static void put_scdoc(struct dt_buf *out, const struct dt_env_rule *rule)
{
    dt_buf_printf(out, "*%s*: ", rule->name);
    put_action(out, rule, true);
    dt_buf_puts(out, ", ");
    put_subjects(out, rule, true);
    dt_buf_puts(out, "\n\tWhen ");
    put(out, rule->condition, true);
    dt_buf_printf(out, "; where that is not known, it %s. ",
                  rule->unknown == DT_UNKNOWN_WARN ? "warns" : when_unknown(rule));
    put(out, rule->reason, true);
    dt_buf_puts(out, *rule->harm ? "; else: " : "");
    put(out, rule->harm, true);
    dt_buf_puts(out, ". Source: ");
    put(out, rule->source, true);
    dt_buf_puts(out, ".\n\n");
}

char *dt_env_rules_document(const struct dt_env_rules *rules, bool scdoc)
{
    struct dt_buf out = DT_BUF_INIT;

    if (!scdoc)
        dt_buf_puts(&out,
                    "<!-- Made from configs/env-rules.conf; a test fails when the two differ. -->\n"
                    "# The environment rules\n\n"
                    "What dt sets, keeps, warns about and refuses, and why. The language of the "
                    "conditions is described at the head of configs/env-rules.conf; "
                    "env-coverage.md tells what there is no rule about, and why.\n\n"
                    "| rule | variable | action | when | not known | why | source |\n"
                    "| --- | --- | --- | --- | --- | --- | --- |\n");
    for (size_t i = 0; i < rules->count; i++) {
        if (scdoc)
            put_scdoc(&out, &rules->items[i]);
        else
            put_markdown(&out, &rules->items[i]);
    }
    return dt_buf_take(&out);
}
