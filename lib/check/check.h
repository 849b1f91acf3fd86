/* SPDX-License-Identifier: Apache-2.0 */
/* Judging one node: pure functions from facts, instance profile and limits to a result.
 *
 * A result is PASS, WARN, FAIL, UNKNOWN (the fact could not be read: never taken for PASS) or SKIP
 * (does not apply here, reason given). Each check has a planted fault in tests/unit/test_check.c
 * that makes it fail. */
#ifndef DT_CHECK_CHECK_H
#define DT_CHECK_CHECK_H

#include <jansson.h>

#include "base/error.h"
#include "conf/conf.h"
#include "env/env.h"
#include "facts/facts.h"
#include "history/limits.h"
#include "instances/instances.h"
#include "profile/profile.h"
#include "xid/xid.h"

enum dt_level { DT_LEVEL_OFF, DT_LEVEL_FAST, DT_LEVEL_FULL, DT_LEVEL_DEEP };
enum dt_result { DT_PASS, DT_SKIP, DT_WARN, DT_UNKNOWN, DT_FAIL }; /* in order of badness */

/* What a result that is not PASS asks of whoever runs the cluster, least first. */
enum dt_severity {
    DT_SEVERITY_NONE,    /* PASS, SKIP */
    DT_SEVERITY_MONITOR, /* the node may work on: look, or change a setting */
    DT_SEVERITY_RESET,   /* a device, driver or service must be restarted */
    DT_SEVERITY_REBOOT,
    DT_SEVERITY_REPLACE
};

/* Whose matter a check is. */
enum dt_scope {
    DT_SCOPE_NODE, /* the same for every job */
    DT_SCOPE_JOB /* limits, file systems and variables of one job: means nothing outside its step */
};

/* Of a check that holds one number against one limit: both of them, for graphs. */
enum dt_unit { DT_UNIT_NONE, DT_UNIT_COUNT, DT_UNIT_BYTES, DT_UNIT_PERCENT, DT_UNIT_GBPS };
struct dt_check_number {
    enum dt_unit unit; /* NONE: there is no such number */
    long long value, limit;
};

struct dt_check_result {
    const char *name; /* "efa-count"; static */
    enum dt_result result;
    enum dt_severity severity;
    char *value;   /* what was found: "31 EFA devices" */
    char *limit;   /* what was wanted, and by whom: "32 (p5.48xlarge)" */
    char *source;  /* file or call the value came from */
    char *next;    /* what to do about it: "reboot or replace the instance"; "" where nothing is */
    char *message; /* one sentence for people: found, wanted, and what to do next */
    struct dt_check_number number;
    long us;
};

struct dt_check_context {
    const struct dt_facts *facts;
    const struct dt_instance *instance; /* NULL: unknown type, table checks SKIP or compare only */
    const struct dt_conf *conf;
    const struct dt_env_plan *env; /* NULL: the environment rules are off */
    const char *env_origin;        /* where the first refused variable was set; NULL: not known */
    const char *env_warning;       /* mistake in a rules file; NULL or "": none */
    const struct dt_xids *xids;    /* NULL: the table of Xid codes was not read */
    const struct dt_profile *profile;      /* NULL: there is none */
    const struct dt_growth_limits *growth; /* NULL: counters.conf was not read */
    enum dt_level level;
    const struct dt_check_choice *choice; /* NULL: all checks of the level */
    bool outside_job;                     /* no job is near: checks of scope JOB are SKIP */
};

/* The registry (registry.c), one row a check; NULL name ends it. */
struct dt_check {
    const char *name;
    const char *summary; /* half a line, for lists and man pages */
    enum dt_level level; /* lowest level that runs it */
    enum dt_scope scope;
    enum dt_severity severity; /* of a FAIL, where the judge does not say another */
    void (*judge)(const struct dt_check_context *context, struct dt_check_result *result);
    const char *explain; /* for people: what is read, when it warns and fails, what to do */
};
extern const struct dt_check dt_checks[];

size_t dt_check_count(void);
const struct dt_check *dt_check_find(const char *name); /* NULL: no such check */

/* Some checks by name. A check that is named runs at any level. */
struct dt_check_choice {
    bool *only; /* by index into dt_checks; NULL: all of the level */
    bool *skip; /* NULL: none */
};

/* "a,b" into a choice; where: the option, for the error. -1: unknown name, with the nearest one. */
int dt_check_choose(bool **chosen, const char *names, const char *where, struct dt_error *err);
void dt_check_choice_fini(struct dt_check_choice *choice);

struct dt_check_results {
    struct dt_check_result *items;
    size_t count;
};

int dt_check_run(struct dt_check_results *results, const struct dt_check_context *context,
                 struct dt_error *err);
void dt_check_results_fini(struct dt_check_results *results);
enum dt_result dt_check_worst(const struct dt_check_results *results);

const char *dt_result_name(enum dt_result result);          /* "PASS" ... */
const char *dt_severity_name(enum dt_severity severity);    /* "NONE", "MONITOR" ... */
const char *dt_unit_name(enum dt_unit unit);                /* "count", "bytes" ... */
int dt_level_parse(const char *text, enum dt_level *level); /* -1: no such level */
const char *dt_level_name(enum dt_level level);

/* For what judges (the rows of the registry, lib/compare): fill a result's texts, each of them
 * once. A text that could not be allocated stays NULL, and whoever runs the judge reports it. */
void dt_judge(struct dt_check_result *result, enum dt_result verdict, const char *source_format,
              ...) __attribute__((format(printf, 3, 4)));
void dt_judge_value(struct dt_check_result *result, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void dt_judge_limit(struct dt_check_result *result, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void dt_judge_next(struct dt_check_result *result, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Value and limit once more, as numbers. Left out where either has none ("unlimited"). */
void dt_judge_number(struct dt_check_result *result, enum dt_unit unit, long long value,
                     long long limit);
/* Speeds that level deep measures, as texts: "212.4 GB/s", "413000 units/s". */
void dt_speed_memory(char *text, size_t size, long long mb_s);
void dt_speed_cpu(char *text, size_t size, long long units_s);
/* Another severity than the registry's. */
void dt_judge_severity(struct dt_check_result *result, enum dt_severity severity);
/* Compose the message of what is there, and make absent texts "". -1: out of memory. */
int dt_judge_finish(struct dt_check_result *result);
void dt_check_result_fini(struct dt_check_result *result);

/* Array of {"name","result","severity","value","limit","source","next","message","us"}, and "number"
 * {"unit","value","limit"} where there is one. From outside: names must be in the registry, texts
 * are made printable; severity, source, message, number and us may be left out. */
json_t *dt_check_result_to_json(const struct dt_check_result *result);
json_t *dt_check_results_to_json(const struct dt_check_results *results);
int dt_check_results_from_json(struct dt_check_results *results, const json_t *array,
                               struct dt_error *err);

#endif
