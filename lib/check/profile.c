/* SPDX-License-Identifier: Apache-2.0 */
/* The node against the site's profile: the first differences by name, with the line of the file. */
#include <string.h>

#include "base/buf.h"
#include "check/judges.h"
#include "profile/profile.h"

enum { NAMED = 3 };

struct differences {
    struct dt_buf value, limit;
    size_t count;
    enum dt_result worst;
};

static void put_fact(struct dt_buf *buf, const struct dt_facts *facts, const char *key)
{
    const char *text;
    long long number;
    if (dt_facts_string(facts, key, &text))
        dt_buf_puts(buf, text);
    else if (dt_facts_int(facts, key, &number))
        dt_buf_printf(buf, "%lld", number);
    else
        dt_buf_printf(buf, "not known (%s)", dt_facts_why(facts, key));
}

static void add(struct differences *d, const struct dt_check_context *context,
                const struct dt_profile_item *item, bool is_known)
{
    enum dt_result result = !is_known ? DT_UNKNOWN : item->row->warns ? DT_WARN : DT_FAIL;
    if (result > d->worst)
        d->worst = result;
    if (d->count++ >= NAMED)
        return;
    const char *comma = d->count > 1 ? ", " : "";
    dt_buf_printf(&d->value, "%s%s is ", comma, item->row->option);
    put_fact(&d->value, context->facts, item->row->key);
    dt_buf_printf(&d->limit, "%s%s ", comma, item->row->option);
    if (item->text)
        dt_buf_puts(&d->limit, item->text);
    else
        dt_buf_printf(&d->limit, "%lld", item->number);
    dt_buf_printf(&d->limit, " (%s:%d)", context->profile->path, item->line);
}

static size_t compare(struct differences *d, const struct dt_check_context *context)
{
    const struct dt_profile *profile = context->profile;
    size_t compared = 0;
    for (size_t i = 0; i < profile->count; i++) {
        bool is_known;
        if (profile->items[i].row->of_job && context->outside_job)
            continue;
        compared++;
        if (!dt_profile_fits(&profile->items[i], context->facts, &is_known))
            add(d, context, &profile->items[i], is_known);
    }
    return compared;
}

void dt_check_profile(const struct dt_check_context *context, struct dt_check_result *result)
{
    const struct dt_profile *profile = context->profile;
    struct differences d = {.value = DT_BUF_INIT, .limit = DT_BUF_INIT, .worst = DT_PASS};
    const char *type;
    if (!profile) {
        dt_check_skip(result, "dt.conf names no profile");
        return;
    }
    if (profile->type && dt_facts_string(context->facts, "instance.type", &type) &&
        strcmp(type, profile->type) != 0) {
        dt_check_skip(result, "%s is for %s", profile->path, profile->type);
        return;
    }
    size_t compared = compare(&d, context);
    dt_judge(result, d.worst, "%s", profile->path);
    if (d.worst == DT_PASS) {
        dt_judge_value(result, "%zu things are as in %s", compared, profile->path);
    } else {
        if (d.count > NAMED)
            dt_buf_printf(&d.value, ", and %zu more", d.count - NAMED);
        dt_judge_value(result, "%s", d.value.data ? d.value.data : "");
        dt_judge_limit(result, "%s", d.limit.data ? d.limit.data : "");
        dt_judge_next(result, "update the node, or the profile if the site has changed "
                              "(dt-validate --learn on a good node)");
    }
    dt_buf_fini(&d.value);
    dt_buf_fini(&d.limit);
}
