/* SPDX-License-Identifier: Apache-2.0 */
/* Instance types in one job. Mixed on purpose is a warning; a mix that EFA can not connect is a
 * failure. */
#include <stdlib.h>
#include <string.h>

#include "compare/values.h"

/* EFA user guide, "EFA limitations": these can not exchange EFA traffic with any other type. */
static bool efa_is_apart(const char *type)
{
    return strncmp(type, "p4d.", 4) == 0 || strncmp(type, "p4de.", 5) == 0 ||
           strncmp(type, "dl1.", 4) == 0;
}

static char *type_of(const struct dt_facts *facts, const void *argument)
{
    const char *type;
    (void)argument;
    return dt_facts_string(facts, "instance.type", &type) ? strdup(type) : NULL;
}

static bool uses_efa(const struct dt_comparison *comparison, const struct dt_group *group)
{
    long long count;
    for (size_t i = 0; i < group->count; i++) {
        if (dt_facts_int(comparison->nodes[group->members[i]].facts, "efa.count", &count) &&
            count > 0)
            return true;
    }
    return false;
}

static bool can_not_connect(const struct dt_comparison *comparison, const struct dt_groups *groups)
{
    bool apart = false;
    size_t with_efa = 0;
    for (size_t i = 0; i < groups->count; i++) {
        if (!groups->items[i].value || !uses_efa(comparison, &groups->items[i]))
            continue;
        with_efa++;
        apart |= efa_is_apart(groups->items[i].value);
    }
    return apart && with_efa > 1;
}

/* The types can not talk: the minority is odd where there is one, else everybody is told. */
static void refuse_mix(struct dt_comparison *comparison, const struct dt_groups *groups,
                       const char *text)
{
    bool majority = groups->items[0].count * 2 > groups->total;
    for (size_t g = majority ? 1 : 0; g < (majority ? groups->count : 1); g++) {
        const struct dt_group *group = &groups->items[g];
        for (size_t i = 0; group->value && i < (majority ? group->count : 1); i++) {
            struct dt_check_result *result = dt_finding_add(
                comparison, majority ? group->members[i] : SIZE_MAX, "instance-type");
            if (!result)
                return;
            dt_judge(result, DT_FAIL, "instance.type; EFA user guide, limitations");
            dt_judge_value(result, "%s", majority ? group->value : text);
            dt_judge_limit(result, "one type: p4d, p4de and dl1 have no EFA to others");
            dt_judge_next(result, "ask Slurm for one type (--constraint or --partition)");
        }
    }
}

static void warn_mix(struct dt_comparison *comparison, const char *text)
{
    struct dt_check_result *result = dt_finding_add(comparison, SIZE_MAX, "instance-type");
    if (!result)
        return;
    dt_judge(result, DT_WARN, "instance.type");
    dt_judge_value(result, "%s", text);
    dt_judge_limit(result, "one type");
    dt_judge_next(result, "if that is not meant, ask Slurm for one type (--constraint)");
}

static void unknown_types(struct dt_comparison *comparison, const struct dt_group *group)
{
    for (size_t i = 0; i < group->count; i++) {
        struct dt_check_result *result =
            dt_finding_add(comparison, group->members[i], "instance-type");
        if (!result)
            return;
        dt_judge(result, DT_UNKNOWN, "instance.type");
        dt_judge_value(result, "not known: %s",
                       dt_facts_why(comparison->nodes[group->members[i]].facts, "instance.type"));
        dt_judge_next(result, "set instance-type in dt.conf");
    }
}

void dt_compare_types(struct dt_comparison *comparison, const size_t *members, size_t count,
                      void (*each)(struct dt_comparison *comparison, const size_t *members,
                                   size_t count, const char *type))
{
    struct dt_groups groups;
    if (dt_group(&groups, comparison, members, count, type_of, NULL) < 0) {
        comparison->failed = true;
        return;
    }
    /* Nodes of unknown type are the last group. */
    bool unknown = groups.count > 0 && !groups.items[groups.count - 1].value;
    size_t types = groups.count - unknown;
    char *text = dt_groups_text(&groups, comparison);
    if (!text)
        comparison->failed = true;
    if (types > 0 && unknown)
        unknown_types(comparison, &groups.items[groups.count - 1]);
    if (types > 1 && text && can_not_connect(comparison, &groups))
        refuse_mix(comparison, &groups, text);
    else if (types > 1 && text)
        warn_mix(comparison, text);
    for (size_t i = 0; i < groups.count; i++)
        each(comparison, groups.items[i].members, groups.items[i].count,
             types > 1 ? groups.items[i].value : NULL);
    free(text);
    dt_groups_fini(&groups);
}
