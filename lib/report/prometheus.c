/* SPDX-License-Identifier: Apache-2.0 */
/* Prometheus' text format 0.0.4: a metric after the other, each with its HELP and TYPE. A file of
 * the textfile collector lives on when nobody writes it any more, so it says itself how old it is. */
#include <string.h>

#include "base/buf.h"
#include "report/suite.h"
#include "version.h"

static void put_label(struct dt_buf *out, bool *first, const char *name, const char *value)
{
    dt_buf_printf(out, "%s%s=\"", *first ? "{" : ",", name);
    *first = false;
    for (; *value; value++) {
        if (*value == '\n')
            dt_buf_puts(out, "\\n");
        else
            dt_buf_printf(out, *value == '"' || *value == '\\' ? "\\%c" : "%c", *value);
    }
    dt_buf_puts(out, "\"");
}

/* Labels that all metrics have; the caller adds his own and closes. */
static bool put_common(struct dt_buf *out, const struct dt_suites *suites,
                       const struct dt_suite *suite)
{
    bool first = true;
    char job[32] = "";
    if (suites->job)
        strncat(job, suites->job,
                strcspn(suites->job, ".") < sizeof job - 1 ? strcspn(suites->job, ".")
                                                           : sizeof job - 1);
    if (*job)
        put_label(out, &first, "slurm_job_id", job);
    if (suite && suites->name_nodes)
        put_label(out, &first, "node", suite->node);
    return first;
}

static void head(struct dt_buf *out, const char *name, const char *help)
{
    dt_buf_printf(out, "# HELP %s %s\n# TYPE %s gauge\n", name, help, name);
}

/* 0 pass, 1 warn, 2 fail, 3 skipped, 4 could not be known */
static int status_of(enum dt_result result)
{
    static const int numbers[] = {
        [DT_PASS] = 0, [DT_WARN] = 1, [DT_FAIL] = 2, [DT_SKIP] = 3, [DT_UNKNOWN] = 4};
    return numbers[result];
}

static void put_status(struct dt_buf *out, const struct dt_suites *suites,
                       const struct dt_suite *suite, const char *check, enum dt_result result)
{
    dt_buf_puts(out, "dt_check_status");
    bool first = put_common(out, suites, suite);
    put_label(out, &first, "check", check);
    dt_buf_printf(out, "} %d\n", status_of(result));
}

/* A series may be there once: of a check and a comparison of one name the worse counts. */
static bool is_said(const struct dt_suite *suite, const struct dt_check_result *finding)
{
    for (size_t i = 0; i < suite->checks->count; i++) {
        if (strcmp(suite->checks->items[i].name, finding->name) == 0)
            return true;
    }
    for (size_t i = 0; i < suite->finding_count && suite->findings[i] != finding; i++) {
        if (strcmp(suite->findings[i]->name, finding->name) == 0)
            return true;
    }
    return false;
}

static enum dt_result worst_of(const struct dt_suite *suite, const struct dt_check_result *result)
{
    enum dt_result worst = result->result;
    for (size_t i = 0; i < suite->finding_count; i++) {
        if (strcmp(suite->findings[i]->name, result->name) == 0 &&
            suite->findings[i]->result > worst)
            worst = suite->findings[i]->result;
    }
    return worst;
}

static void put_statuses(struct dt_buf *out, const struct dt_suites *suites,
                         const struct dt_suite *suite)
{
    if (suite->lost)
        put_status(out, suites, suite, "report", DT_UNKNOWN);
    for (size_t i = 0; i < suite->checks->count; i++)
        put_status(out, suites, suite, suite->checks->items[i].name,
                   worst_of(suite, &suite->checks->items[i]));
    for (size_t i = 0; i < suite->finding_count; i++) {
        if (!is_said(suite, suite->findings[i]))
            put_status(out, suites, suite, suite->findings[i]->name,
                       worst_of(suite, suite->findings[i]));
    }
}

static void put_durations(struct dt_buf *out, const struct dt_suites *suites,
                          const struct dt_suite *suite)
{
    for (size_t i = 0; i < suite->checks->count; i++) {
        const struct dt_check_result *result = &suite->checks->items[i];
        dt_buf_puts(out, "dt_check_duration_seconds");
        bool first = put_common(out, suites, suite);
        put_label(out, &first, "check", result->name);
        dt_buf_printf(out, "} %ld.%06ld\n", result->us / 1000000, result->us % 1000000);
    }
}

static bool has_numbers(const struct dt_suites *suites)
{
    for (size_t i = 0; i < suites->count; i++) {
        const struct dt_check_results *checks = suites->items[i].checks;
        for (size_t k = 0; k < checks->count; k++) {
            if (checks->items[k].number.unit != DT_UNIT_NONE)
                return true;
        }
    }
    return false;
}

static void put_number(struct dt_buf *out, const struct dt_suites *suites,
                       const struct dt_suite *suite, const struct dt_check_result *result,
                       const char *metric, long long number)
{
    dt_buf_puts(out, metric);
    bool first = put_common(out, suites, suite);
    put_label(out, &first, "check", result->name);
    put_label(out, &first, "unit", dt_unit_name(result->number.unit));
    dt_buf_printf(out, "} %lld\n", number);
}

static void put_values(struct dt_buf *out, const struct dt_suites *suites,
                       const struct dt_suite *suite)
{
    for (size_t i = 0; i < suite->checks->count; i++) {
        const struct dt_check_result *result = &suite->checks->items[i];
        if (result->number.unit != DT_UNIT_NONE)
            put_number(out, suites, suite, result, "dt_check_value", result->number.value);
    }
}

static void put_limits(struct dt_buf *out, const struct dt_suites *suites,
                       const struct dt_suite *suite)
{
    for (size_t i = 0; i < suite->checks->count; i++) {
        const struct dt_check_result *result = &suite->checks->items[i];
        if (result->number.unit != DT_UNIT_NONE)
            put_number(out, suites, suite, result, "dt_check_limit", result->number.limit);
    }
}

static int each(const struct dt_suites *suites, struct dt_buf *out,
                void (*put)(struct dt_buf *out, const struct dt_suites *suites,
                            const struct dt_suite *suite),
                json_dump_callback_t write, void *context)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < suites->count; i++) {
        put(out, suites, &suites->items[i]);
        rc = out->failed ? -1 : write(out->data ? out->data : "", out->len, context);
        dt_buf_clear(out);
    }
    return rc;
}

static void put_whole(struct dt_buf *out, const struct dt_suites *suites, const char *name,
                      long long value)
{
    dt_buf_puts(out, name);
    bool first = put_common(out, suites, NULL);
    put_label(out, &first, "suite", suites->level);
    dt_buf_printf(out, "} %lld\n", value);
}

int dt_prometheus_write(const struct dt_suites *suites, json_dump_callback_t write, void *context)
{
    struct dt_buf out = DT_BUF_INIT;
    head(&out, "dt_build_info", "Version of dt.");
    dt_buf_puts(&out, "dt_build_info{version=\"" DT_VERSION "\"} 1\n");
    head(&out, "dt_validate_last_timestamp_seconds", "When the validation ended, Unix time.");
    put_whole(&out, suites, "dt_validate_last_timestamp_seconds", (long long)suites->when);
    head(&out, "dt_validate_status", "The verdict: 0 pass, 1 warn, 2 fail, 4 unknown.");
    put_whole(&out, suites, "dt_validate_status", status_of(suites->verdict));
    head(&out, "dt_check_status",
         "A check's result: 0 pass, 1 warn, 2 fail, 3 skipped, 4 unknown.");
    int rc = each(suites, &out, put_statuses, write, context);
    if (rc == 0 && has_numbers(suites)) { /* a metric without a series would be none */
        head(&out, "dt_check_value", "What a check found, where it is one number.");
        rc = each(suites, &out, put_values, write, context);
        head(&out, "dt_check_limit", "What that number is held against.");
        if (rc == 0)
            rc = each(suites, &out, put_limits, write, context);
    }
    head(&out, "dt_check_duration_seconds", "How long a check took.");
    if (rc == 0)
        rc = each(suites, &out, put_durations, write, context);
    if (rc == 0 && out.len > 0) /* no node: heads alone */
        rc = write(out.data, out.len, context);
    dt_buf_fini(&out);
    return rc;
}
