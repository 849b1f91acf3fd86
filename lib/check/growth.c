/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of what has grown since the last job (history.growth), by the limits of counters.conf; and of
 * the jobs that the node has lost. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "check/judges.h"
#include "history/history.h"
#include "history/limits.h"

/* Counters of one check, and what to do when they grow too fast. */
struct family {
    const char *counters[4]; /* names, or beginnings that end in '.'; NULL ends it */
    const char *limit, *next;
};

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static long long number_of(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static bool is_member(const struct family *family, const char *counter)
{
    for (const char *const *c = family->counters; *c; c++) {
        size_t len = strlen(*c);
        if ((*c)[len - 1] == '.' ? strncmp(counter, *c, len) == 0 : strcmp(counter, *c) == 0)
            return true;
    }
    return false;
}

/* Does the node keep a counter of the family at all? */
static bool is_kept(const struct dt_check_context *context, const struct family *family)
{
    const char *names, *name;
    char copy[DT_HISTORY_WORD_MAX + 1];
    if (!dt_facts_string(context->facts, "history.kept", &names))
        return false;
    for (name = names; *name; name += strspn(name, " ")) {
        size_t len = strcspn(name, " ");
        snprintf(copy, sizeof copy, "%.*s", (int)len, name);
        if (is_member(family, copy))
            return true;
        name += len;
    }
    return false;
}

/* How many times the limit; the worst speaks for the node. */
static double excess(const json_t *item, const struct dt_growth_limit *limit)
{
    double by = (double)number_of(item, "by"), seconds = (double)number_of(item, "in_s");
    double units =
        limit->unit_s == 0 || seconds < (double)limit->unit_s ? 1 : seconds / (double)limit->unit_s;
    return by / units / (double)(limit->amount > 0 ? limit->amount : 1);
}

struct worst {
    const json_t *item;
    const struct dt_growth_limit *limit;
    double excess;
    size_t over; /* rows of growth beyond their limits */
};

static void look_at(struct worst *worst, const json_t *item, const struct dt_growth_limit *limit)
{
    if (!dt_growth_is_over(limit, number_of(item, "by"), number_of(item, "in_s")))
        return;
    double much = excess(item, limit);
    worst->over++;
    if (worst->item && (worst->limit->fails > limit->fails ||
                        (worst->limit->fails == limit->fails && worst->excess >= much)))
        return;
    worst->item = item;
    worst->limit = limit;
    worst->excess = much;
}

static void put_time(struct dt_buf *text, long long seconds)
{
    if (seconds < 120)
        dt_buf_printf(text, "%lld s", seconds);
    else if (seconds < 7200)
        dt_buf_printf(text, "%lld min", seconds / 60);
    else
        dt_buf_printf(text, "%lld h", seconds / 3600);
}

static void tell(struct dt_check_result *result, const struct worst *worst,
                 const struct family *family)
{
    struct dt_buf text = DT_BUF_INIT;
    bool in_job = strcmp(text_of(worst->item, "when"), "job") == 0;
    dt_buf_printf(&text, "%s of %s grew by %lld in %s", text_of(worst->item, "counter"),
                  text_of(worst->item, "device"), number_of(worst->item, "by"),
                  in_job ? "the last job here, " : "");
    put_time(&text, number_of(worst->item, "in_s"));
    if (!in_job)
        dt_buf_puts(&text, ", since the last job");
    if (worst->over > 1)
        dt_buf_printf(&text, ", and %zu more", worst->over - 1);
    dt_judge(result, worst->limit->fails ? DT_FAIL : DT_WARN, "counters kept from job to job");
    dt_judge_value(result, "%s", text.data ? text.data : "a counter grew");
    dt_judge_limit(result, "%lld %s at most (counters.conf)", worst->limit->amount,
                   worst->limit->unit_s ? dt_growth_unit_name(worst->limit) : "in all");
    dt_judge_next(result, "%s", family->next);
    dt_buf_fini(&text);
}

static void judge(const struct dt_check_context *context, struct dt_check_result *result,
                  const struct family *family)
{
    const json_t *growth = dt_facts_array(context->facts, "history.growth");
    struct worst worst = {0};
    if (!growth || !context->growth) {
        dt_check_skip(result, "nothing to compare with: %s",
                      dt_facts_why(context->facts, "history.growth"));
        return;
    }
    if (!is_kept(context, family)) {
        dt_check_skip(result, "no such counter here");
        return;
    }
    for (size_t i = 0; i < json_array_size(growth); i++) {
        const json_t *item = json_array_get(growth, i);
        const char *counter = text_of(item, "counter");
        const struct dt_growth_limit *limit =
            is_member(family, counter) ? dt_growth_limit_find(context->growth, counter) : NULL;
        if (limit)
            look_at(&worst, item, limit);
    }
    if (worst.item) {
        tell(result, &worst, family);
        return;
    }
    dt_judge(result, DT_PASS, "counters kept from job to job");
    dt_judge_value(result, "no counter grew beyond its limit");
    dt_judge_limit(result, "%s", family->limit);
}

#define JUDGE(name, ...)                                                                           \
    void dt_check_##name(const struct dt_check_context *context, struct dt_check_result *result)   \
    {                                                                                              \
        static const struct family family = {__VA_ARGS__};                                         \
        judge(context, result, &family);                                                           \
    }

JUDGE(gpu_ecc_growth, {"gpu.ecc_corrected", "gpu.rows_corrected", "gpu.rows_uncorrected"},
      "few corrected memory errors since the last job",
      "run a GPU memory test (dcgmi diag -r 3); replace the instance if it goes on")
JUDGE(gpu_pcie_replay, {"gpu.pcie_replay"}, "few PCIe replays since the last job",
      "stop and start the instance; replace it if it goes on")
JUDGE(nvlink_growth, {"gpu.nvlink_errors"}, "few NVLink errors since the last job",
      "reset the GPUs or reboot; replace the instance if it goes on")
JUDGE(efa_retransmits, {"efa."}, "few EFA errors since the last job",
      "look at the other nodes of that job, too; replace the instance if it is always this one")
JUDGE(link_flaps, {"net.carrier_changes"}, "links that stay up",
      "look at dmesg there; replace the instance if it goes on")
JUDGE(ena_allowances, {"ena."}, "few packets held back since the last job",
      "see what the job sends and asks over that device; a larger instance has a higher allowance")
JUDGE(edac_growth, {"edac."}, "few memory errors since the last job", "replace the instance")
JUDGE(nvme_media, {"nvme."}, "no NVMe error since the last job",
      "save what is on the local disks, and replace the instance")

/* "7 (10-24 08:15 UTC, the node went down under it)"; of older ones the number alone. */
static void put_loss(struct dt_buf *text, const json_t *loss)
{
    char when[32] = "";
    struct tm utc;
    time_t at = time(NULL) - (time_t)number_of(loss, "ago_s");
    if (gmtime_r(&at, &utc))
        strftime(when, sizeof when, "%m-%d %H:%M UTC, ", &utc);
    dt_buf_printf(text, "%s%lld", text->len ? ", " : "", number_of(loss, "job"));
    if (text->len < sizeof "9223372036854775807")
        dt_buf_printf(text, " (%s%s)", when, text_of(loss, "why"));
}

void dt_check_lemon(const struct dt_check_context *context, struct dt_check_result *result)
{
    enum { SHOWN = 3 }; /* the newest */
    const json_t *lost = dt_facts_array(context->facts, "history.lost");
    const struct dt_conf *conf = context->conf;
    size_t total = json_array_size(lost), count = 0;
    struct dt_buf text = DT_BUF_INIT;
    if (!lost || conf->lemon_losses == 0) {
        dt_check_skip(result, "%s",
                      lost ? "lemon-losses of dt.conf is 0"
                           : dt_facts_why(context->facts, "history.growth"));
        return;
    }
    for (size_t i = total; i > 0; i--) {
        const json_t *loss = json_array_get(lost, i - 1);
        if (number_of(loss, "ago_s") <= conf->lemon_days * 86400 && count++ < SHOWN)
            put_loss(&text, loss);
    }
    bool lemon = count >= (size_t)conf->lemon_losses;
    dt_judge(result,
             !lemon                                   ? DT_PASS
             : conf->lemon_policy == DT_POLICY_REFUSE ? DT_FAIL
                                                      : DT_WARN,
             "the node's own history");
    dt_judge_value(result, "%zu job%s lost here in %lld days%s%s%s", count, count == 1 ? "" : "s",
                   conf->lemon_days, count ? ": " : "", text.data ? text.data : "",
                   count > SHOWN ? ", ..." : "");
    dt_judge_limit(result, "less than %lld (lemon-losses)", conf->lemon_losses);
    dt_judge_number(result, DT_UNIT_COUNT, (long long)count, conf->lemon_losses);
    if (lemon) {
        dt_judge_severity(result, DT_SEVERITY_REPLACE);
        dt_judge_next(result, "replace the instance");
    }
    dt_buf_fini(&text);
}
