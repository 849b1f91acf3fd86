/* SPDX-License-Identifier: Apache-2.0 */
/* One result: filling it in, and its JSON form. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check/judges.h"
#include "facts/printable.h"

enum { TEXT_MAX = 1024 };

static void set_text(char **text, const char *format, va_list args)
{
    free(*text);
    if (vasprintf(text, format, args) < 0)
        *text = NULL;
    else
        dt_printable(*text);
}

#define SET_TEXT(field)                                                                            \
    do {                                                                                           \
        va_list args_;                                                                             \
        va_start(args_, format);                                                                   \
        set_text(field, format, args_);                                                            \
        va_end(args_);                                                                             \
    } while (0)

void dt_judge(struct dt_check_result *result, enum dt_result verdict, const char *format, ...)
{
    result->result = verdict;
    SET_TEXT(&result->source);
}

void dt_judge_value(struct dt_check_result *result, const char *format, ...)
{
    SET_TEXT(&result->value);
}

void dt_judge_limit(struct dt_check_result *result, const char *format, ...)
{
    SET_TEXT(&result->limit);
}

void dt_judge_next(struct dt_check_result *result, const char *format, ...)
{
    SET_TEXT(&result->next);
}

void dt_judge_number(struct dt_check_result *result, enum dt_unit unit, long long value,
                     long long limit)
{
    result->number = (struct dt_check_number){unit, value, limit};
}

void dt_judge_severity(struct dt_check_result *result, enum dt_severity severity)
{
    result->severity = severity;
}

static int fill(char **text)
{
    if (!*text)
        *text = strdup("");
    return *text ? 0 : -1;
}

int dt_judge_finish(struct dt_check_result *result)
{
    if (fill(&result->value) < 0 || fill(&result->limit) < 0 || fill(&result->source) < 0 ||
        fill(&result->next) < 0)
        return -1;
    if (result->message)
        return 0;
    int n =
        asprintf(&result->message, "%s: %s%s%s%s%s", result->name,
                 *result->value ? result->value : "not known", *result->limit ? "; wanted: " : "",
                 result->limit, *result->next ? "; next: " : "", result->next);
    if (n < 0)
        result->message = NULL;
    return n < 0 ? -1 : 0;
}

void dt_check_result_fini(struct dt_check_result *result)
{
    free(result->value);
    free(result->limit);
    free(result->source);
    free(result->next);
    free(result->message);
    *result = (struct dt_check_result){0};
}

const char *dt_check_type(const struct dt_check_context *context)
{
    const char *type;
    if (context->instance)
        return context->instance->name;
    return dt_facts_string(context->facts, "instance.type", &type) ? type : "this machine";
}

bool dt_check_wants_efa(const struct dt_check_context *context)
{
    long long count;
    if (context->instance && context->instance->efas > 0)
        return true;
    return dt_facts_int(context->facts, "efa.count", &count) && count > 0;
}

void dt_check_unknown(const struct dt_check_context *context, struct dt_check_result *result,
                      const char *key, const char *next)
{
    dt_judge(result, DT_UNKNOWN, "%s", key);
    dt_judge_value(result, "not known: %s", dt_facts_why(context->facts, key));
    dt_judge_next(result, "%s", next);
}

void dt_check_skip(struct dt_check_result *result, const char *format, ...)
{
    result->result = DT_SKIP;
    SET_TEXT(&result->value);
}

static json_t *number_to_json(const struct dt_check_number *number)
{
    return number->unit == DT_UNIT_NONE
               ? NULL
               : json_pack("{s:s,s:I,s:I}", "unit", dt_unit_name(number->unit), "value",
                           (json_int_t)number->value, "limit", (json_int_t)number->limit);
}

json_t *dt_check_result_to_json(const struct dt_check_result *result)
{
    return json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:o*,s:I}", "name", result->name, "result",
                     dt_result_name(result->result), "severity", dt_severity_name(result->severity),
                     "value", result->value, "limit", result->limit, "source", result->source,
                     "next", result->next, "message", result->message, "number",
                     number_to_json(&result->number), "us", (json_int_t)result->us);
}

json_t *dt_check_results_to_json(const struct dt_check_results *results)
{
    json_t *array = json_array();
    for (size_t i = 0; array && i < results->count; i++) {
        if (json_array_append_new(array, dt_check_result_to_json(&results->items[i])) < 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

static bool result_named(const char *name, enum dt_result *result)
{
    for (int i = DT_PASS; i <= DT_FAIL; i++) {
        if (strcmp(dt_result_name((enum dt_result)i), name) == 0) {
            *result = (enum dt_result)i;
            return true;
        }
    }
    return false;
}

/* Left out: what the registry has for such a result. */
static bool severity_named(const char *name, struct dt_check_result *result)
{
    if (!name) {
        result->severity = result->result == DT_FAIL  ? dt_check_find(result->name)->severity
                           : result->result > DT_SKIP ? DT_SEVERITY_MONITOR
                                                      : DT_SEVERITY_NONE;
        return true;
    }
    for (int i = DT_SEVERITY_NONE; i <= DT_SEVERITY_REPLACE; i++) {
        if (strcmp(dt_severity_name((enum dt_severity)i), name) == 0) {
            result->severity = (enum dt_severity)i;
            return true;
        }
    }
    return false;
}

static bool take_number(struct dt_check_number *number, json_t *json)
{
    const char *unit;
    json_int_t value, limit;
    if (!json)
        return true;
    if (json_unpack(json, "{s:s,s:I,s:I}", "unit", &unit, "value", &value, "limit", &limit) < 0)
        return false;
    for (int i = DT_UNIT_NONE + 1; i <= DT_UNIT_GBPS; i++) {
        if (strcmp(dt_unit_name((enum dt_unit)i), unit) == 0) {
            *number = (struct dt_check_number){(enum dt_unit)i, value, limit};
            return true;
        }
    }
    return false;
}

static int take_text(char **text, const char *from)
{
    *text = strndup(from, TEXT_MAX);
    if (!*text)
        return -1;
    /* A cut inside a UTF-8 sequence would be no text any more. */
    size_t len = strlen(*text);
    if (from[len]) {
        while (len > 0 && ((unsigned char)from[len] & 0xc0) == 0x80)
            len--;
        (*text)[len] = '\0';
    }
    dt_printable(*text);
    return 0;
}

static int from_json(struct dt_check_result *result, json_t *json, struct dt_error *err)
{
    const char *name, *verdict, *value, *limit, *source = "", *next, *message = NULL;
    const char *severity = NULL;
    json_int_t us = 0;
    *result = (struct dt_check_result){0};
    if (json_unpack(json, "{s:s,s:s,s:s,s:s,s:s,s?s,s?s,s?I,s?s}", "name", &name, "result",
                    &verdict, "value", &value, "limit", &limit, "next", &next, "source", &source,
                    "message", &message, "us", &us, "severity", &severity) < 0)
        return dt_error_set(err, "a check result lacks a field or has one of a wrong type");
    const struct dt_check *check = dt_check_find(name);
    if (!check)
        return dt_error_set(err,
                            "a check result is of an unknown check '%.40s': are all nodes of one "
                            "version of dt?",
                            name);
    result->name = check->name;
    if (!result_named(verdict, &result->result))
        return dt_error_set(err, "check %s has an unknown result '%.40s'", result->name, verdict);
    if (!take_number(&result->number, json_object_get(json, "number")))
        return dt_error_set(err, "check %s has a number without value, limit or a known unit",
                            result->name);
    if (!severity_named(severity, result))
        return dt_error_set(err, "check %s has an unknown severity '%.40s'", result->name,
                            severity);
    result->us = us < 0 ? 0 : us > 3600000000LL ? 3600000000L : (long)us;
    if (take_text(&result->value, value) < 0 || take_text(&result->limit, limit) < 0 ||
        take_text(&result->source, source) < 0 || take_text(&result->next, next) < 0 ||
        (message && take_text(&result->message, message) < 0) || dt_judge_finish(result) < 0)
        return dt_error_set(err, "out of memory");
    return 0;
}

int dt_check_results_from_json(struct dt_check_results *results, const json_t *array,
                               struct dt_error *err)
{
    enum { RESULTS_MAX = 256 };
    *results = (struct dt_check_results){0};
    if (!json_is_array(array) || json_array_size(array) > RESULTS_MAX)
        return dt_error_set(err, "the check results are not a list of at most %d", RESULTS_MAX);
    results->items = calloc(json_array_size(array) + 1, sizeof *results->items);
    if (!results->items)
        return dt_error_set(err, "out of memory");
    for (size_t i = 0; i < json_array_size(array); i++) {
        if (from_json(&results->items[results->count++], json_array_get(array, i), err) < 0) {
            dt_check_results_fini(results);
            return -1;
        }
    }
    return 0;
}
