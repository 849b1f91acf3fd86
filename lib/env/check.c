/* SPDX-License-Identifier: Apache-2.0 */
/* What is to be said about an environment: the rules that hold, and the names that nothing reads. */
#include <stdlib.h>
#include <string.h>

#include "env/internal.h"
#include "env/variables.h"

#define TABLE_SOURCE "env-variables.conf, read from the components' sources"

static struct dt_env_finding *add(struct dt_env_findings *findings)
{
    if (findings->count % 32 == 0) {
        struct dt_env_finding *grown =
            realloc(findings->items, (findings->count + 32) * sizeof(*grown));
        if (!grown)
            return NULL;
        findings->items = grown;
    }
    findings->items[findings->count] = (struct dt_env_finding){0};
    return &findings->items[findings->count++];
}

static void finding_fini(struct dt_env_finding *finding)
{
    free(finding->variable);
    free(finding->value);
    free(finding->rule);
    free(finding->message);
    free(finding->source);
    free(finding->fix);
    free(finding->set_to);
}

void dt_env_findings_fini(struct dt_env_findings *findings)
{
    for (size_t i = 0; i < findings->count; i++)
        finding_fini(&findings->items[i]);
    free(findings->items);
    memset(findings, 0, sizeof(*findings));
}

/* ---- from rules --------------------------------------------------------------------------------- */

static int from_hit(struct dt_env_findings *findings, const struct dt_env_hit *hit)
{
    struct dt_env_finding *f = add(findings);
    bool sets = hit->action == DT_ENV_SET || hit->action == DT_ENV_FORCE;

    if (!f)
        return -1;
    f->variable = strdup(hit->variable);
    f->value = hit->user ? strdup(hit->user) : NULL;
    f->rule = strdup(hit->rule->name);
    f->message = dt_env_hit_reason(hit, hit->rule->harm);
    f->source = strdup(hit->rule->source);
    f->fix = dt_env_hit_fix(hit);
    f->severity = dt_env_hit_severity(hit);
    f->action = hit->action;
    f->set_to = sets ? strdup(hit->value) : NULL;
    return f->variable && (f->value || !hit->user) && f->rule && f->message && f->source &&
                   f->fix && (f->set_to || !sets)
               ? 0
               : -1;
}

/* "keep" has nothing to add where something graver was said of the variable, or the same twice; nor
 * has a warning where the value is refused. */
static bool said(const struct dt_env_hits *hits, size_t index)
{
    const struct dt_env_hit *hit = &hits->items[index];

    if (hit->action != DT_ENV_KEEP && hit->action != DT_ENV_WARN)
        return false;
    for (size_t i = 0; i < hits->count; i++) {
        const struct dt_env_hit *other = &hits->items[i];
        if (i == index || strcmp(other->variable, hit->variable) != 0)
            continue;
        if (other->action == DT_ENV_REFUSE ||
            (hit->action == DT_ENV_KEEP && (other->action != DT_ENV_KEEP || i < index)))
            return true;
    }
    return false;
}

/* ---- from the table of names -------------------------------------------------------------------- */

/* The fact that holds the version of a component; NULL: none does. */
static const char *version_fact(const char *component)
{
    static const char *const facts[][2] = {
        {"libfabric", "lib.libfabric"}, {"nccl", "lib.nccl"},
        {"ofi-nccl", "lib.ofi_nccl"},   {"torch", "lib.torch"},
        {"rdma-core", "lib.rdma_core"},
    };

    for (size_t i = 0; i < sizeof(facts) / sizeof(facts[0]); i++)
        if (!strcmp(facts[i][0], component))
            return facts[i][1];
    return NULL;
}

/* Does the version that is installed read it? Where that is not known, it does. */
static bool read_here(const struct dt_env_variable *variable, const struct dt_facts *facts,
                      const char **version)
{
    const char *fact = version_fact(variable->component);

    if (!fact || !dt_facts_string(facts, fact, version))
        return true;
    if (*variable->since && dt_version_compare(*version, variable->since) < 0)
        return false;
    return !*variable->until || dt_version_compare(*version, variable->until) <= 0;
}

static int from_table(struct dt_env_findings *findings, const char *name, const char *value,
                      char *message, char *fix, enum dt_env_severity severity)
{
    struct dt_env_finding *f = add(findings);

    if (!f) {
        free(message);
        free(fix);
        return -1;
    }
    f->variable = dt_env_printable(name);
    f->value = dt_env_printable(value);
    f->rule = strdup("");
    f->message = message;
    f->source = strdup(TABLE_SOURCE);
    f->fix = fix;
    f->severity = severity;
    f->action = severity == DT_ENV_FINE ? DT_ENV_KEEP : DT_ENV_WARN;
    return f->variable && f->value && f->rule && message && f->source && fix ? 0 : -1;
}

static int say_known(struct dt_env_findings *findings, const struct dt_env_variable *variable,
                     const struct dt_facts *facts, const char *name, const char *value)
{
    struct dt_buf message = DT_BUF_INIT, fix = DT_BUF_INIT;
    const char *version = NULL;
    bool here = read_here(variable, facts, &version);

    if (here) {
        dt_buf_printf(&message, "%s reads it", variable->component);
    } else {
        dt_buf_printf(&message, "%s %s does not read it (only", variable->component, version);
        if (*variable->since)
            dt_buf_printf(&message, " from %s", variable->since);
        if (*variable->until)
            dt_buf_printf(&message, " up to %s", variable->until);
        dt_buf_puts(&message, " does)");
        dt_buf_printf(&fix, "unset %s", name);
    }
    return from_table(findings, name, value, dt_buf_take(&message), dt_buf_take(&fix),
                      here ? DT_ENV_FINE : DT_ENV_NO_EFFECT);
}

/* A name of a watched family that nobody reads; or, of no family, one slip away from a known one. */
static int say_unknown(struct dt_env_findings *findings, const struct dt_env_variables *variables,
                       const char *name, const char *value)
{
    const struct dt_env_variable *watched = dt_env_variables_watched(variables, name);
    const struct dt_env_variable *near = dt_env_variables_nearest(variables, name);
    struct dt_buf message = DT_BUF_INIT, fix = DT_BUF_INIT;

    if (!watched && (!near || strlen(name) < 8 || dt_env_distance(name, near->name, 1) > 1))
        return 0;
    dt_buf_puts(&message, watched ? "no version of " : "no component");
    if (watched)
        dt_buf_puts(&message, watched->component);
    dt_buf_puts(&message, " is known to read this name");
    if (near) {
        dt_buf_printf(&message, "; did you mean %s?", near->name);
        dt_buf_printf(&fix, "set %s instead, or unset %s", near->name, name);
    } else {
        dt_buf_printf(&fix, "unset %s", name);
    }
    return from_table(findings, name, value, dt_buf_take(&message), dt_buf_take(&fix),
                      DT_ENV_NO_EFFECT);
}

static bool has_finding(const struct dt_env_findings *findings, size_t count, const char *name,
                        size_t len)
{
    for (size_t i = 0; i < count; i++)
        if (!strncmp(findings->items[i].variable, name, len) && !findings->items[i].variable[len])
            return true;
    return false;
}

static int judge_name(struct dt_env_findings *findings, const struct dt_env_variables *variables,
                      const struct dt_facts *facts, const char *entry, size_t len)
{
    char *name = strndup(entry, len);
    const struct dt_env_variable *variable;
    int rc;

    if (!name)
        return -1;
    variable = dt_env_variables_find(variables, name);
    rc = variable ? say_known(findings, variable, facts, name, entry + len + 1)
                  : say_unknown(findings, variables, name, entry + len + 1);
    free(name);
    return rc;
}

static int judge_names(struct dt_env_findings *findings, const struct dt_env_variables *variables,
                       const struct dt_facts *facts, char *const *user_env)
{
    for (char *const *entry = user_env; entry && *entry; entry++) {
        size_t len = strcspn(*entry, "=");
        /* The first of two entries of a name counts, and rules have said enough of theirs. */
        if (len == 0 || !(*entry)[len] || has_finding(findings, findings->count, *entry, len))
            continue;
        if (judge_name(findings, variables, facts, *entry, len))
            return -1;
    }
    return 0;
}

/* ---- together ----------------------------------------------------------------------------------- */

static int by_gravity(const void *a, const void *b)
{
    const struct dt_env_finding *x = a, *y = b;
    int order = (int)y->severity - (int)x->severity;

    if (order == 0)
        order = strcmp(x->variable, y->variable);
    return order ? order : strcmp(x->rule, y->rule);
}

static int judge_all(struct dt_env_findings *findings, const struct dt_env_rules *rules,
                     const struct dt_env_variables *variables, struct dt_env_world *world)
{
    struct dt_env_hits hits;
    int rc = dt_env_judge(&hits, rules, world);

    if (rc)
        return -1;
    for (size_t i = 0; i < hits.count && rc == 0; i++)
        if (!said(&hits, i))
            rc = from_hit(findings, &hits.items[i]);
    dt_env_hits_fini(&hits);
    if (rc == 0 && variables)
        rc = judge_names(findings, variables, world->facts, world->user_env);
    return rc;
}

int dt_env_check(struct dt_env_findings *findings, const struct dt_env_rules *rules,
                 const struct dt_env_variables *variables, const struct dt_facts *facts,
                 const struct dt_instance *instance, char *const *user_env, struct dt_error *err)
{
    struct dt_env_world world;
    int rc = dt_env_world_init(&world, &rules->names, facts, instance, user_env);

    memset(findings, 0, sizeof(*findings));
    if (rc == 0)
        rc = judge_all(findings, rules, variables, &world);
    dt_env_world_fini(&world);
    if (rc) {
        dt_env_findings_fini(findings);
        return dt_error_set(err, "no memory left for the findings");
    }
    if (findings->count > 1)
        qsort(findings->items, findings->count, sizeof(*findings->items), by_gravity);
    findings->worst = findings->count ? findings->items[0].severity : DT_ENV_FINE;
    return 0;
}
