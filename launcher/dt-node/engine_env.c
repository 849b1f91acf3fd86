/* SPDX-License-Identifier: Apache-2.0 */
/* The environment judge on this node: rules of dt and of the admin, the variables that the job has,
 * where each was set, and all of it in words. */
#include "engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *engine_table(const struct engine *e, const char *name, struct dt_error *err)
{
    char *path;
    if (asprintf(&path, "%s/%s", e->conf.data_directory, name) >= 0)
        return path;
    dt_error_set(err, "out of memory");
    return NULL;
}

static int load_strictly(struct engine *e, const char *path, struct dt_error *err)
{
    if (dt_env_rules_load(&e->rules, path, err) < 0)
        return -1;
    return *e->conf.env_rules_site ? dt_env_rules_add_site(e->rules, e->conf.env_rules_site, err)
                                   : 0;
}

int engine_load_rules(struct engine *e, struct dt_error *err)
{
    char *path = engine_table(e, "env-rules.conf", err);
    int rc = -1;
    if (path && e->conf.env_on_bad_rules == DT_POLICY_REFUSE)
        rc = load_strictly(e, path, err);
    else if (path)
        rc = dt_env_rules_load_kept(&e->rules, path, e->conf.env_rules_site,
                                    e->conf.cache_directory, &e->rules_warning, err);
    free(path);
    return rc;
}

static const char *value_in(char *const *variables, const char *name)
{
    size_t len = strlen(name);
    for (; variables && *variables; variables++) {
        if (strncmp(*variables, name, len) == 0 && (*variables)[len] == '=')
            return *variables + len + 1;
    }
    return NULL;
}

const char *engine_job_value(const struct engine *e, const char *name)
{
    return value_in(e->job_env, name);
}

/* In the child that has become the user. */
static void ask(int out, void *argument)
{
    struct engine *e = argument;
    dt_nccl_conf_ask(out, &e->nccl_asked);
    engine_versions_ask(out, e);
}

void engine_ask_env(struct engine *e, const struct dt_facts_request *request,
                    char *const *variables)
{
    e->job_env = variables;
    e->nccl_asked = (struct dt_nccl_asked){request, value_in(variables, "NCCL_CONF_FILE")};
    e->question = (struct dt_facts_question){.ask = ask, .argument = e};
}

/* Where there was no child for the question, NCCL's files get one of their own. */
static int read_nccl(struct engine *e, struct dt_error *err)
{
    const char *nccl = NULL;
    const struct dt_facts_question *q = &e->question;
    dt_facts_string(&e->facts, "lib.nccl", &nccl);
    if (q->state == DT_QUESTION_UNASKED)
        return dt_nccl_conf_read(&e->nccl, e->nccl_asked.request, e->nccl_asked.conf_file, nccl,
                                 err);
    bool whole = q->state == DT_QUESTION_ANSWERED || engine_versions_begun(e);
    const char *failure = whole ? NULL : q->why.text;
    return dt_nccl_conf_take(&e->nccl, q->answer, failure, &e->nccl_asked, nccl, err);
}

/* What NCCL will find in its files is the user's own too: the environment would win over it. */
int engine_user_env(struct engine *e, struct dt_error *err)
{
    if (engine_versions_take(e, err) < 0 || read_nccl(e, err) < 0)
        return -1;
    e->user_env = dt_nccl_environ(e->job_env, &e->nccl);
    return e->user_env ? 0 : dt_error_set(err, "out of memory");
}

static int find_origin(struct engine *e, struct dt_error *err)
{
    for (size_t i = 0; i < e->env.count; i++) {
        if (e->env.items[i].action != DT_ENV_REFUSE)
            continue;
        e->env_origin = engine_origin(e, e->env.items[i].variable);
        return e->env_origin ? 0 : dt_error_set(err, "out of memory");
    }
    return 0;
}

int engine_plan_env(struct engine *e, struct dt_error *err)
{
    if (!e->rules)
        return 0;
    if (dt_env_plan(&e->env, e->rules, &e->facts, e->instance, e->user_env, err) < 0)
        return -1;
    return find_origin(e, err);
}

static char *file_and_line(const struct engine *e, const char *variable)
{
    char *text = NULL;
    for (size_t i = 0; i < e->nccl.count; i++) {
        const struct dt_nccl_setting *setting = &e->nccl.items[i];
        if (strcmp(setting->name, variable) == 0)
            return asprintf(&text, "%s:%d", setting->file, setting->line) < 0 ? NULL : text;
    }
    return strdup("nowhere that is known");
}

char *engine_origin(const struct engine *e, const char *variable)
{
    /* Slurm sets ENVIRONMENT=BATCH for a batch script, and its sruns hand it on. */
    const char *mode = value_in(e->job_env, "ENVIRONMENT");
    if (!value_in(e->job_env, variable))
        return file_and_line(e, variable);
    return strdup(mode && strcmp(mode, "BATCH") == 0
                      ? "the job's environment: the batch script, or where sbatch was typed"
                      : "the environment of srun");
}

/* ---- --dt-env=explain ------------------------------------------------------------------------ */

static bool users_own(const struct dt_env_finding *f)
{
    return f->value && f->action != DT_ENV_FORCE && f->action != DT_ENV_UNSET;
}

static void put_finding(struct dt_buf *out, const struct engine *e, const struct dt_env_finding *f,
                        int width)
{
    const char *becomes = f->action == DT_ENV_UNSET ? "(unset)"
                          : f->set_to               ? f->set_to
                          : f->value                ? f->value
                                                    : "";
    dt_buf_printf(out, "%-9s  %-12s  %-*s  %s\n", dt_env_severity_name(f->severity),
                  dt_env_action_name(f->action), width, f->variable, becomes);
    if (f->value) {
        char *origin = engine_origin(e, f->variable);
        dt_buf_printf(out, "           yours: %s, from %s\n", f->value, origin ? origin : "?");
        out->failed |= !origin;
        free(origin);
    }
    dt_buf_printf(out, "           why: %s\n", f->message);
    if (*f->fix)
        dt_buf_printf(out, "           fix: %s\n", f->fix);
    dt_buf_printf(out, "           %s%s%ssource: %s\n", *f->rule ? "rule " : "", f->rule,
                  *f->rule ? "; " : "", f->source);
}

/* pyxis puts an image's environment over the job's, but for the names in this list. */
static void put_container_list(struct dt_buf *out, const struct dt_env_findings *findings)
{
    const char *separator = "in a container of pyxis, to keep these over the image's own: "
                            "--container-env=";
    for (size_t i = 0; i < findings->count; i++) {
        const struct dt_env_finding *f = &findings->items[i];
        /* What no rule is about, such as CUDA_HOME, is better the image's; what would end the ranks
         * should not be there at all. */
        if (!*f->rule || (!users_own(f) && f->action != DT_ENV_SET) || f->severity == DT_ENV_ABORT)
            continue;
        dt_buf_printf(out, "%s%s", separator, f->variable);
        separator = ",";
    }
    if (*separator == ',')
        dt_buf_puts(out, "\n");
}

/* Fine, and nothing is to be said of it but that a component reads it. */
static bool is_quiet(const struct dt_env_finding *f)
{
    return f->severity == DT_ENV_FINE && !*f->rule;
}

static void put_quiet(struct dt_buf *out, const struct dt_env_findings *findings)
{
    const char *separator = "no rule has anything to say of ";
    for (size_t i = 0; i < findings->count; i++) {
        if (!is_quiet(&findings->items[i]))
            continue;
        dt_buf_printf(out, "%s%s", separator, findings->items[i].variable);
        separator = ", ";
    }
    if (*separator == ',')
        dt_buf_puts(out, "\n");
}

static void put_findings(struct dt_buf *out, const struct engine *e,
                         const struct dt_env_findings *findings)
{
    size_t width = strlen("VARIABLE");
    for (size_t i = 0; i < findings->count; i++) {
        size_t len = strlen(findings->items[i].variable);
        width = len > width ? len : width;
    }
    dt_buf_printf(out, "%s\n", e->env.summary ? e->env.summary : "");
    for (char **trouble = e->nccl.troubles; trouble && *trouble; trouble++)
        dt_buf_printf(out, "not read: %s\n", *trouble);
    if (findings->count)
        dt_buf_printf(out, "%-9s  %-12s  %-*s  %s\n", "SEVERITY", "DT DOES", (int)width, "VARIABLE",
                      "RANKS GET");
    for (size_t i = 0; i < findings->count; i++)
        if (!is_quiet(&findings->items[i]))
            put_finding(out, e, &findings->items[i], (int)width);
    put_quiet(out, findings);
    put_container_list(out, findings);
}

char *engine_explain_env(const struct engine *e)
{
    struct dt_env_variables *variables = NULL;
    struct dt_env_findings findings;
    struct dt_buf out = DT_BUF_INIT;
    struct dt_error err;
    char *path = engine_table(e, "env-variables.conf", &err);
    if (!path || dt_env_variables_load(&variables, path, &err) < 0)
        dt_buf_printf(&out, "names that nothing reads are not looked for: %s\n", err.text);
    free(path);
    if (dt_env_check(&findings, e->rules, variables, &e->facts, e->instance, e->user_env, &err) ==
        0) {
        put_findings(&out, e, &findings);
        dt_env_findings_fini(&findings);
    } else {
        out.failed = true;
    }
    if (variables)
        dt_env_variables_destroy(variables);
    return dt_buf_take(&out);
}
