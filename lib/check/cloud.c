/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of what EC2 says of the instance by its metadata service. */
#include <stdio.h>
#include <string.h>

#include "check/judges.h"

/* false: SKIP was said. */
static bool is_reachable(const struct dt_check_context *context, struct dt_check_result *result)
{
    long long reachable;
    if (!dt_facts_int(context->facts, "imds.reachable", &reachable)) {
        dt_check_skip(result,
                      "the metadata service was not asked: no EC2, or imds = off (dt.conf)");
        return false;
    }
    if (!reachable)
        dt_check_skip(result, "the metadata service did not answer: see imds");
    return reachable != 0;
}

void dt_check_imds(const struct dt_check_context *context, struct dt_check_result *result)
{
    long long reachable;
    if (!dt_facts_int(context->facts, "imds.reachable", &reachable)) {
        dt_check_skip(result, "not asked: no EC2, or imds = off (dt.conf)");
        return;
    }
    dt_judge(result, reachable ? DT_PASS : DT_WARN, "169.254.169.254");
    dt_judge_value(result, "%s",
                   reachable ? "it answers" : dt_facts_why(context->facts, "imds.reachable"));
    dt_judge_limit(result, "an answer in %lld ms (dt.conf)", context->conf->probe_timeout_ms);
    if (!reachable)
        dt_judge_next(result, "programs get their AWS credentials there: look at the route, a "
                              "firewall, and the instance's metadata options");
}

void dt_check_instance_type(const struct dt_check_context *context, struct dt_check_result *result)
{
    const char *type, *real;
    if (!is_reachable(context, result))
        return;
    if (!dt_facts_string(context->facts, "imds.type", &real) ||
        !dt_facts_string(context->facts, "instance.type", &type)) {
        dt_check_unknown(context, result, "imds.type", "ask the metadata service by hand");
        return;
    }
    bool good = strcmp(type, real) == 0;
    dt_judge(result, good ? DT_PASS : DT_WARN, "169.254.169.254");
    dt_judge_value(result, "EC2 says %s", real);
    dt_judge_limit(result, "%s, by which the node is judged", type);
    if (!good)
        dt_judge_next(result, "correct instance-type in dt.conf");
}

/* "now", "in 3 h", "in 12 days" */
static void put_time(char *text, size_t size, long long seconds)
{
    if (seconds <= 0)
        snprintf(text, size, "now");
    else if (seconds < 172800)
        snprintf(text, size, "in %lld h", (seconds + 3599) / 3600);
    else
        snprintf(text, size, "in %lld days", seconds / 86400);
}

/* The one that comes first; NULL: none. */
static const json_t *soonest_of(const json_t *events, long long *in_s)
{
    const json_t *soonest = NULL;
    for (size_t i = 0; i < json_array_size(events); i++) {
        const json_t *event = json_array_get(events, i);
        long long when = json_integer_value(json_object_get(event, "in_s"));
        if (soonest && when >= *in_s)
            continue;
        soonest = event;
        *in_s = when;
    }
    return soonest;
}

void dt_check_maintenance(const struct dt_check_context *context, struct dt_check_result *result)
{
    const char *interruption = NULL;
    long long rebalance = 0, in_s = 0, hours = context->conf->maintenance_hours;
    if (!is_reachable(context, result))
        return;
    const json_t *events = dt_facts_array(context->facts, "imds.events");
    const json_t *event = soonest_of(events, &in_s);
    dt_facts_string(context->facts, "imds.interruption", &interruption);
    dt_facts_int(context->facts, "imds.rebalance", &rebalance);
    if (!events && !interruption) {
        dt_check_unknown(context, result, "imds.events", "look at the instance's events in EC2");
        return;
    }
    bool fails = interruption || (event && in_s < hours * 3600);
    bool warns = event || rebalance;
    dt_judge(result, fails ? DT_FAIL : warns ? DT_WARN : DT_PASS, "169.254.169.254");
    dt_judge_limit(result, "no interruption, and no event in %lld h (dt.conf)", hours);
    if (interruption) {
        dt_judge_value(result, "EC2 interrupts this instance: %s", interruption);
    } else if (event) {
        char when[48];
        const char *code = json_string_value(json_object_get(event, "code"));
        put_time(when, sizeof when, in_s);
        dt_judge_value(result, "EC2 has announced %s, %s", code ? code : "an event", when);
    } else {
        dt_judge_value(result, "%s",
                       rebalance ? "EC2 recommends to leave this instance"
                                 : "nothing is announced");
    }
    if (fails || warns)
        dt_judge_next(result, "drain the node and replace the instance before it is taken");
}
