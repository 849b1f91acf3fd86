/* SPDX-License-Identifier: Apache-2.0 */
/* The message "report". */
#include "report/message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "facts/printable.h"

/* What the table tells of good nodes, and where rank 0 may be reached; the rest is compared. */
static const char *const shown_keys[] = {"neuron.count", "net.address", "measured.age_s", NULL};

enum { CHECKS_MAX = 256, ENV_MAX = 4096 };

static int copy_fact(json_t *to, const json_t *from, const char *key)
{
    char why[128];
    json_t *fact = json_object_get(from, key);
    if (fact)
        return json_object_set(to, key, fact);
    snprintf(why, sizeof why, "why.%s", key);
    fact = json_object_get(from, why);
    return fact ? json_object_set(to, why, fact) : 0;
}

/* The values are shared with the full facts. */
static json_t *brief_facts(const struct dt_facts *facts)
{
    json_t *brief = json_object();
    int rc = brief ? 0 : -1;
    for (const char *const *key = dt_compare_keys; rc == 0 && *key; key++)
        rc = copy_fact(brief, facts->doc, *key);
    for (const char *const *key = shown_keys; rc == 0 && *key; key++)
        rc = copy_fact(brief, facts->doc, *key);
    if (rc == 0)
        return brief;
    json_decref(brief);
    return NULL;
}

/* The table does not show the sentence that is made of a result. */
static json_t *brief_check(const struct dt_check_result *check)
{
    static const char *const unused[] = {"message", "us"};
    json_t *json = dt_check_result_to_json(check);
    for (size_t i = 0; i < sizeof unused / sizeof unused[0]; i++)
        json_object_del(json, unused[i]);
    return json;
}

static json_t *brief_checks(const struct dt_check_results *checks)
{
    json_t *array = json_array();
    for (size_t i = 0; array && i < checks->count; i++) {
        const struct dt_check_result *check = &checks->items[i];
        if (check->result < DT_WARN || json_array_append_new(array, brief_check(check)) == 0)
            continue;
        json_decref(array);
        return NULL;
    }
    return array;
}

static size_t count_ran(const struct dt_check_results *checks)
{
    size_t ran = 0;
    for (size_t i = 0; i < checks->count; i++)
        ran += checks->items[i].result != DT_SKIP;
    return ran;
}

json_t *dt_report_message(const struct dt_report_message *message)
{
    json_t *object = json_pack("{s:s,s:o,s:o,s:I,s:s,s:i,s:I}", "type", "report", "facts",
                               brief_facts(message->facts), "checks", brief_checks(message->checks),
                               "ran", (json_int_t)count_ran(message->checks), "env", message->env,
                               "port", message->port, "took_us", (json_int_t)message->took_us);
    if (!object || !message->drains || message->drains->count == 0 ||
        json_object_set_new(object, "drain", dt_proposals_to_json(message->drains)) == 0)
        return object;
    json_decref(object);
    return NULL;
}

/* From here on only what did not pass is of interest. */
static void drop_passed(struct dt_check_results *checks)
{
    size_t kept = 0;
    for (size_t i = 0; i < checks->count; i++) {
        if (checks->items[i].result >= DT_WARN)
            checks->items[kept++] = checks->items[i];
        else
            dt_check_result_fini(&checks->items[i]);
    }
    checks->count = kept;
}

/* Take over what was understood, cut down to what is compared or shown. */
static int keep(struct dt_report_node *taken, const struct dt_facts *all, const char *env)
{
    taken->facts.doc = brief_facts(all);
    taken->env_summary = strndup(env, ENV_MAX);
    if (!taken->facts.doc || !taken->env_summary)
        return -1;
    dt_printable(taken->env_summary);
    drop_passed(&taken->checks);
    return 0;
}

int dt_report_take(struct dt_report_node *node, int *port, const json_t *object,
                   struct dt_error *err)
{
    json_t *facts = NULL, *checks = NULL, *drains = NULL;
    const char *env = "";
    json_int_t took = 0, ran = -1;
    json_error_t why;
    struct dt_facts all = {0};
    struct dt_report_node taken = {0};
    int at = 0, rc = -1;
    if (json_unpack_ex((json_t *)object, &why, 0, "{s:o,s:o,s?I,s:s,s:i,s:I,s?o}", "facts", &facts,
                       "checks", &checks, "ran", &ran, "env", &env, "port", &at, "took_us", &took,
                       "drain", &drains) < 0)
        return dt_error_set(err, "sent a report of a wrong shape: %s", why.text);
    if (at < 0 || at > 65535 || ran < -1 || ran > CHECKS_MAX || took < 0 || took > 3600000000LL)
        return dt_error_set(err, "sent a report with impossible numbers");
    if (dt_facts_from_json(&all, facts, err) < 0 ||
        dt_check_results_from_json(&taken.checks, checks, err) < 0 ||
        (drains && dt_proposals_from_json(&taken.drains, drains, err) < 0)) {
        dt_error_prefix(err, "sent a report that can not be used");
        goto out;
    }
    taken.ran = ran < 0 ? count_ran(&taken.checks) : (size_t)ran;
    taken.took_us = (long)took;
    if (keep(&taken, &all, env) < 0) {
        dt_error_set(err, "sent a report that could not be kept: out of memory");
        goto out;
    }
    node->facts = taken.facts;
    node->checks = taken.checks;
    node->ran = taken.ran;
    node->env_summary = taken.env_summary;
    node->drains = taken.drains;
    node->took_us = taken.took_us;
    *port = at;
    taken = (struct dt_report_node){0};
    rc = 0;
out:
    dt_report_node_fini(&taken);
    dt_facts_fini(&all);
    return rc;
}
