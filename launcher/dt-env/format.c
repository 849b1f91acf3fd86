/* SPDX-License-Identifier: Apache-2.0 */
/* Shell, job script, Dockerfile, JSON, list of names, NUL-ended items. */
#include "format.h"

#include <stdlib.h>
#include <string.h>

#include "version.h"

static bool gives(const struct dt_env_item *item)
{
    return item->action == DT_ENV_SET || item->action == DT_ENV_FORCE;
}

static void put_escaped(struct dt_buf *out, const char *text, const char *special)
{
    for (; *text; text++) {
        if (strchr(special, *text))
            dt_buf_puts(out, "\\");
        dt_buf_append(out, text, 1);
    }
}

static void put_single_quoted(struct dt_buf *out, const char *text)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "_-+.,:/@%=^";
    if (*text && strspn(text, plain) == strlen(text)) {
        dt_buf_puts(out, text);
        return;
    }
    dt_buf_puts(out, "'");
    for (; *text; text++)
        if (*text == '\'')
            dt_buf_puts(out, "'\\''");
        else
            dt_buf_append(out, text, 1);
    dt_buf_puts(out, "'");
}

/* Comments are one line each, whatever the rules say. */
static void put_comment(struct dt_buf *out, const char *text)
{
    dt_buf_puts(out, "# ");
    for (; *text; text++)
        dt_buf_append(out, *text == '\n' || *text == '\r' ? " " : text, 1);
    dt_buf_puts(out, "\n");
}

static void put_head(struct dt_buf *out, const struct subject *subject)
{
    char *about = subject_describe(subject);
    struct dt_buf line = DT_BUF_INIT;
    dt_buf_printf(&line, "dt %s, for %s", DT_VERSION, about ? about : "");
    out->failed |= !about || line.failed;
    put_comment(out, line.data ? line.data : "");
    dt_buf_fini(&line);
    free(about);
}

static void put_why(struct dt_buf *out, const struct dt_env_item *item)
{
    struct dt_buf line = DT_BUF_INIT;
    dt_buf_printf(&line, "%s (rule %s; %s)", item->reason, item->rule, item->source);
    out->failed |= line.failed;
    put_comment(out, line.data ? line.data : "");
    dt_buf_fini(&line);
}

static void put_nothing(struct dt_buf *out, const struct dt_env_plan *plan)
{
    for (size_t i = 0; i < plan->count; i++)
        if (gives(&plan->items[i]) || plan->items[i].action == DT_ENV_UNSET)
            return;
    put_comment(out, "nothing needs to be set");
}

static void write_shell(struct dt_buf *out, const struct dt_env_plan *plan,
                        const struct subject *subject)
{
    put_head(out, subject);
    put_nothing(out, plan);
    for (size_t i = 0; i < plan->count; i++) {
        const struct dt_env_item *item = &plan->items[i];
        if (item->action == DT_ENV_UNSET) {
            put_why(out, item);
            dt_buf_printf(out, "unset %s\n", item->variable);
        } else if (gives(item)) {
            put_why(out, item);
            dt_buf_printf(out, "export %s=", item->variable);
            put_single_quoted(out, item->value);
            dt_buf_puts(out, "\n");
        }
    }
}

/* A job's own value stays, as it does when dt itself sets the variable. */
static void write_sbatch(struct dt_buf *out, const struct dt_env_plan *plan,
                         const struct subject *subject)
{
    put_head(out, subject);
    put_comment(out, "behind the #SBATCH lines of the job script:");
    put_nothing(out, plan);
    for (size_t i = 0; i < plan->count; i++) {
        const struct dt_env_item *item = &plan->items[i];
        if (!gives(item) && item->action != DT_ENV_UNSET)
            continue;
        put_why(out, item);
        if (item->action == DT_ENV_UNSET) {
            dt_buf_printf(out, "unset %s\n", item->variable);
        } else if (item->action == DT_ENV_FORCE) {
            dt_buf_printf(out, "export %s=", item->variable);
            put_single_quoted(out, item->value);
            dt_buf_puts(out, "\n");
        } else {
            dt_buf_printf(out, "export %s=\"${%s-", item->variable, item->variable);
            put_escaped(out, item->value, "$`\"\\}");
            dt_buf_puts(out, "}\"\n");
        }
    }
}

static void write_dockerfile(struct dt_buf *out, const struct dt_env_plan *plan,
                             const struct subject *subject)
{
    put_head(out, subject);
    put_nothing(out, plan);
    for (size_t i = 0; i < plan->count; i++) {
        const struct dt_env_item *item = &plan->items[i];
        if (!gives(item))
            continue;
        put_why(out, item);
        dt_buf_printf(out, "ENV %s=\"", item->variable);
        put_escaped(out, item->value, "$\"\\");
        dt_buf_puts(out, "\"\n");
    }
}

static void write_json(struct dt_buf *out, const struct dt_env_plan *plan,
                       const struct subject *subject)
{
    json_t *set = json_array(), *unset = json_array();
    const char *type = NULL;
    char *text = NULL;
    for (size_t i = 0; i < plan->count; i++) {
        const struct dt_env_item *item = &plan->items[i];
        json_t *one = NULL;
        if (!gives(item) && item->action != DT_ENV_UNSET)
            continue;
        one = json_pack("{s:s,s:s*,s:s,s:s,s:s,s:s}", "variable", item->variable, "value",
                        gives(item) ? item->value : NULL, "rule", item->rule, "reason",
                        item->reason, "harm", item->harm, "source", item->source);
        if (json_array_append_new(gives(item) ? set : unset, one) < 0)
            out->failed = true;
    }
    dt_facts_string(&subject->facts, "instance.type", &type);
    json_t *document = json_pack("{s:s?,s:o,s:o}", "instance", type, "set", set, "unset", unset);
    if (document)
        text = json_dumps(document, JSON_INDENT(1));
    if (text)
        dt_buf_printf(out, "%s\n", text);
    else
        out->failed = true;
    json_decref(document);
    free(text);
}

/* What dt gives and what of the user's it leaves in place: where an image has other values, these
 * are to win. What would end the ranks should not be there at all. */
static void write_container_env(struct dt_buf *out, const struct dt_env_plan *plan,
                                const struct subject *subject)
{
    const char *separator = "";
    (void)subject;
    for (size_t i = 0; i < plan->count; i++) {
        bool again = false;
        if (plan->items[i].action == DT_ENV_UNSET || plan->items[i].severity == DT_ENV_ABORT)
            continue;
        for (size_t k = 0; k < i && !again; k++)
            again = strcmp(plan->items[k].variable, plan->items[i].variable) == 0;
        if (again)
            continue;
        dt_buf_printf(out, "%s%s", separator, plan->items[i].variable);
        separator = ",";
    }
    dt_buf_puts(out, "\n");
}

static void write_shell0(struct dt_buf *out, const struct dt_env_plan *plan,
                         const struct subject *subject)
{
    (void)subject;
    for (size_t i = 0; i < plan->count; i++) {
        const struct dt_env_item *item = &plan->items[i];
        if (!gives(item) && item->action != DT_ENV_UNSET)
            continue;
        dt_buf_puts(out, item->variable);
        if (gives(item))
            dt_buf_printf(out, "=%s", item->value);
        dt_buf_append(out, "", 1);
    }
}

const struct format formats[] = {
    {"shell", write_shell},
    {"json", write_json},
    {"dockerfile", write_dockerfile},
    {"sbatch", write_sbatch},
    {"shell0", write_shell0},
    {"container-env", write_container_env},
    {NULL, NULL},
};
