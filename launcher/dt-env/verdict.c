/* SPDX-License-Identifier: Apache-2.0 */
/* Judging what the programs most likely have, and then every other possibility that a script leaves
 * open, one at a time. */
#include "verdict.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "facts/printable.h"

/* bytes of a text that are shown */
#define DT_SHOWN_MAX 4096

static int no_memory(struct dt_error *err)
{
    return dt_error_set(err, "out of memory");
}

/* The names that the value selects, or all with spec NULL; a few of them, and how many more. */
static void put_names(struct dt_buf *out, json_t *list, const char *spec, const char *none)
{
    enum { SHOWN = 6 };
    size_t i, count = 0;
    json_t *item;
    json_array_foreach(list, i, item)
    {
        const char *name = json_string_value(json_object_get(item, "name"));
        if (!name || (spec && !dt_env_nccl_selects(spec, name)))
            continue;
        if (count++ < SHOWN)
            dt_buf_printf(out, "%s%s", count > 1 ? ", " : "", name);
    }
    if (count > SHOWN)
        dt_buf_printf(out, " and %zu more", count - SHOWN);
    if (count == 0)
        dt_buf_puts(out, none);
}

/* What NCCL takes of this node's interfaces, since a list of prefixes is not easily read. False:
 * nothing is to be said of that. */
static bool put_interfaces(struct dt_buf *out, const struct subject *subject,
                           const struct user_setting *setting)
{
    json_t *list = dt_facts_array(&subject->facts, "net.interfaces");
    if (strcmp(setting->name, "NCCL_SOCKET_IFNAME") != 0 || !list || !setting->value ||
        strlen(setting->value) < 2)
        return false;
    dt_buf_puts(out, "; of the interfaces ");
    put_names(out, list, NULL, "");
    dt_buf_puts(out, " NCCL takes ");
    put_names(out, list, setting->value, "none");
    return true;
}

static char *message_of(const struct subject *subject, const struct dt_env_finding *finding,
                        const struct user_setting *setting, bool *quiet)
{
    struct dt_buf out = DT_BUF_INIT;
    *quiet = finding->severity == DT_ENV_FINE && !*finding->rule && setting;
    dt_buf_puts(&out, finding->message);
    if (setting) {
        if (put_interfaces(&out, subject, setting))
            *quiet = false;
        if (*setting->origin)
            dt_buf_printf(&out, " (%s%s%s)", setting->origin, *setting->doubt ? ", " : "",
                          setting->doubt);
    }
    return dt_buf_take(&out);
}

static int add(struct verdict *v, const struct subject *subject,
               const struct dt_env_finding *finding, const struct user_setting *setting,
               struct dt_error *err)
{
    struct remark *grown = realloc(v->items, (v->count + 1) * sizeof *grown);
    if (!grown)
        return no_memory(err);
    v->items = grown;
    struct remark *remark = &grown[v->count++];
    *remark = (struct remark){.finding = finding, .setting = setting};
    remark->message = message_of(subject, finding, setting, &remark->quiet);
    if (!remark->message)
        return no_memory(err);
    if (finding->severity > v->worst)
        v->worst = finding->severity;
    return 0;
}

static bool is_said(const struct verdict *v, const struct dt_env_finding *finding)
{
    for (size_t i = 0; i < v->count; i++) {
        const struct dt_env_finding *other = v->items[i].finding;
        bool same_value = other->value == finding->value ||
                          (other->value && finding->value && !strcmp(other->value, finding->value));
        if (same_value && strcmp(other->variable, finding->variable) == 0 &&
            strcmp(other->rule, finding->rule) == 0)
            return true;
    }
    return false;
}

/* chosen NULL: the likely environment, of which all is told. Else what is new with that setting. */
static int judge(struct verdict *v, const struct subject *subject, const struct user *user,
                 const struct user_setting *chosen, struct dt_error *err)
{
    struct dt_env_findings *runs = realloc(v->runs, (v->run_count + 1) * sizeof *runs);
    char **environment = user_environment(user, chosen);
    struct dt_env_findings *run;
    int rc;
    if (runs)
        v->runs = runs;
    if (!runs || !environment) {
        if (environment)
            dt_names_free(environment);
        return no_memory(err);
    }
    run = &runs[v->run_count];
    rc = dt_env_check(run, subject->rules, subject->variables, &subject->facts, subject->instance,
                      environment, err);
    dt_names_free(environment);
    if (rc < 0)
        return -1;
    v->run_count++;
    for (size_t i = 0; i < run->count && rc == 0; i++) {
        const struct dt_env_finding *f = &run->items[i];
        bool about_chosen = chosen && strcmp(f->variable, chosen->name) == 0;
        if (chosen && (is_said(v, f) || (!about_chosen && f->severity == DT_ENV_FINE)))
            continue;
        rc = add(v, subject, f, about_chosen ? chosen : user_find(user, f->variable), err);
    }
    return rc;
}

static bool differs(const struct user_setting *a, const struct user_setting *b)
{
    return !a->value != !b->value || (a->value && strcmp(a->value, b->value) != 0);
}

static int by_gravity(const void *a, const void *b)
{
    const struct remark *x = a, *y = b;
    int order = (int)y->finding->severity - (int)x->finding->severity;
    if (order == 0)
        order = !x->setting - !y->setting; /* what the user has comes before what dt adds */
    if (order == 0)
        order = strcmp(x->finding->variable, y->finding->variable);
    return order ? order : strcmp(x->finding->rule, y->finding->rule);
}

int verdict_make(struct verdict *v, const struct subject *subject, const struct user *user,
                 struct dt_error *err)
{
    enum { POSSIBILITIES = 256 };
    int rc, tried = 0;
    *v = (struct verdict){0};
    rc = judge(v, subject, user, NULL, err);
    for (size_t i = 0; i < user->count && rc == 0 && tried < POSSIBILITIES; i++) {
        const struct user_setting *item = &user->items[i], *likely = user_find(user, item->name);
        if (item == likely || !differs(item, likely))
            continue;
        rc = judge(v, subject, user, item, err);
        tried++;
    }
    if (rc == 0 && v->count > 1)
        qsort(v->items, v->count, sizeof *v->items, by_gravity);
    return rc;
}

void verdict_fini(struct verdict *v)
{
    for (size_t i = 0; i < v->count; i++)
        free(v->items[i].message);
    for (size_t i = 0; i < v->run_count; i++)
        dt_env_findings_fini(&v->runs[i]);
    free(v->items);
    free(v->runs);
    *v = (struct verdict){0};
}

const char *severity_word(enum dt_env_severity severity)
{
    return severity == DT_ENV_NO_EFFECT ? "no effect" : dt_env_severity_name(severity);
}

int verdict_json(const struct verdict *v, struct dt_error *err)
{
    json_t *list = json_array(), *document = json_pack("{s:o}", "findings", list);
    int rc = list && document ? 0 : -1;
    for (size_t i = 0; i < v->count && rc == 0; i++) {
        const struct remark *r = &v->items[i];
        bool known = r->finding->value && (!r->setting || r->setting->value);
        json_t *value = known ? dt_printable_json(r->finding->value, DT_SHOWN_MAX) : json_null();
        json_t *item =
            json_pack("{s:o,s:o,s:s,s:s,s:o,s:o}", "variable",
                      dt_printable_json(r->finding->variable, DT_SHOWN_MAX), "value", value,
                      "severity", severity_word(r->finding->severity), "rule", r->finding->rule,
                      "message", dt_printable_json(r->message, DT_SHOWN_MAX), "source",
                      dt_printable_json(r->finding->source, DT_SHOWN_MAX));
        rc = json_array_append_new(list, item);
    }
    if (rc == 0)
        rc = json_dumpf(document, stdout, JSON_INDENT(1));
    json_decref(document);
    printf("\n");
    return rc < 0 ? dt_error_set(err, "the findings can not be written as JSON") : 0;
}
