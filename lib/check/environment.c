/* SPDX-License-Identifier: Apache-2.0 */
/* Check of the job's variables: what the environment rules refuse, no rank may start with. */
#include "check/judges.h"

/* Nothing is refused; but were the rules those of the files? */
static void judge_rules(const struct dt_check_context *context, struct dt_check_result *result)
{
    if (!context->env_warning || !*context->env_warning) {
        dt_judge(result, DT_PASS, "env-rules.conf");
        dt_judge_value(result, "no variable is refused");
        return;
    }
    dt_judge(result, DT_WARN, "env-rules.conf");
    dt_judge_value(result, "%s", context->env_warning);
    dt_judge_limit(result, "rules without a mistake");
    dt_judge_next(result, "tell the admin; dt-env check shows what the rules give");
}

/* The first refused variable is named, the others are counted: one sentence. */
void dt_check_env(const struct dt_check_context *context, struct dt_check_result *result)
{
    const struct dt_env_plan *plan = context->env;
    const struct dt_env_item *first = NULL;
    size_t refused = 0;
    if (!plan) {
        dt_check_skip(result, "the environment rules are off");
        return;
    }
    for (size_t i = 0; i < plan->count; i++) {
        if (plan->items[i].action != DT_ENV_REFUSE)
            continue;
        first = first ? first : &plan->items[i];
        refused++;
    }
    if (!first) {
        judge_rules(context, result);
        return;
    }
    bool stops = context->conf->env_on_abort == DT_POLICY_REFUSE;
    dt_judge(result, stops ? DT_FAIL : DT_WARN, "%s",
             *first->source ? first->source : "env-rules.conf");
    dt_judge_value(result, "%s=%s%s%s (%s%s%s)", first->variable, first->value,
                   context->env_origin ? " from " : "",
                   context->env_origin ? context->env_origin : "", first->reason,
                   *first->harm ? ": " : "", first->harm);
    dt_judge_limit(result, "what rule %s allows", first->rule);
    dt_judge_next(result, "%s%s%s%s", *first->fix ? first->fix : "unset ",
                  *first->fix ? "" : first->variable, stops ? ", or run with --dt-env=off" : "",
                  refused > 1 ? "; --dt-env=explain shows the others" : "");
}
