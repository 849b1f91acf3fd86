/* SPDX-License-Identifier: Apache-2.0 */
/* Running the checks of the registry. */
#include "check/check.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "check/judges.h"

static long long now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000LL + now.tv_nsec / 1000;
}

static bool is_chosen(const struct dt_check *check, const struct dt_check_context *context)
{
    const struct dt_check_choice *choice = context->choice;
    size_t i = (size_t)(check - dt_checks);
    if (choice && choice->skip && choice->skip[i])
        return false;
    return choice && choice->only ? choice->only[i] : check->level <= context->level;
}

/* A judge that says nothing has judged nothing: UNKNOWN. */
static void judge(const struct dt_check *check, const struct dt_check_context *context,
                  struct dt_check_result *result)
{
    *result = (struct dt_check_result){.name = check->name, .result = DT_UNKNOWN};
    if (context->outside_job && check->scope == DT_SCOPE_JOB)
        dt_check_skip(result, "judged in the job's own step");
    else
        check->judge(context, result);
    if (result->result <= DT_SKIP)
        result->severity = DT_SEVERITY_NONE;
    else if (result->severity == DT_SEVERITY_NONE)
        result->severity = result->result == DT_FAIL ? check->severity : DT_SEVERITY_MONITOR;
}

int dt_check_run(struct dt_check_results *results, const struct dt_check_context *context,
                 struct dt_error *err)
{
    size_t rows = dt_check_count();
    *results = (struct dt_check_results){0};
    results->items = calloc(rows + 1, sizeof *results->items);
    if (!results->items)
        return dt_error_set(err, "the node could not be checked: out of memory");
    for (const struct dt_check *check = dt_checks; check->name; check++) {
        if (!is_chosen(check, context))
            continue;
        struct dt_check_result *result = &results->items[results->count++];
        long long begin = now_us();
        judge(check, context, result);
        result->us = (long)(now_us() - begin);
        if (dt_judge_finish(result) < 0) {
            dt_check_results_fini(results);
            return dt_error_set(err, "check %s could not be made: out of memory", check->name);
        }
    }
    return 0;
}

void dt_check_results_fini(struct dt_check_results *results)
{
    for (size_t i = 0; i < results->count; i++)
        dt_check_result_fini(&results->items[i]);
    free(results->items);
    *results = (struct dt_check_results){0};
}

enum dt_result dt_check_worst(const struct dt_check_results *results)
{
    enum dt_result worst = DT_PASS;
    for (size_t i = 0; i < results->count; i++) {
        if (results->items[i].result > worst)
            worst = results->items[i].result;
    }
    return worst;
}

static const char *const result_names[] = {"PASS", "SKIP", "WARN", "UNKNOWN", "FAIL"};
static const char *const severity_names[] = {"NONE", "MONITOR", "RESET", "REBOOT", "REPLACE"};
static const char *const level_names[] = {"off", "fast", "full", "deep"};

const char *dt_result_name(enum dt_result result)
{
    return (unsigned)result <= DT_FAIL ? result_names[result] : "UNKNOWN";
}

const char *dt_severity_name(enum dt_severity severity)
{
    return (unsigned)severity <= DT_SEVERITY_REPLACE ? severity_names[severity] : "NONE";
}

const char *dt_unit_name(enum dt_unit unit)
{
    static const char *const names[] = {[DT_UNIT_NONE] = "",
                                        [DT_UNIT_COUNT] = "count",
                                        [DT_UNIT_BYTES] = "bytes",
                                        [DT_UNIT_PERCENT] = "percent",
                                        [DT_UNIT_GBPS] = "gbps"};
    return (unsigned)unit <= DT_UNIT_GBPS ? names[unit] : "";
}

const char *dt_level_name(enum dt_level level)
{
    return (unsigned)level <= DT_LEVEL_DEEP ? level_names[level] : "off";
}

int dt_level_parse(const char *text, enum dt_level *level)
{
    for (size_t i = 0; i < sizeof level_names / sizeof level_names[0]; i++) {
        if (strcasecmp(text, level_names[i]) == 0) {
            *level = (enum dt_level)i;
            return 0;
        }
    }
    return -1;
}
