/* SPDX-License-Identifier: Apache-2.0 */
/* The verdict for people. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/columns.h"
#include "terminal.h"
#include "verdict.h"

enum { VALUE_SHOWN = 60, WIDE = 110 };

struct words {
    char *does; /* what dt does */
    char *value;
    char *source;
    char *fix; /* or NULL */
};

static const char *const heads[] = {"ABORT", "SLOW", "NO EFFECT", "FINE"};

static const char *head_of(enum dt_env_severity severity)
{
    switch (severity) {
    case DT_ENV_ABORT:
        return heads[0];
    case DT_ENV_SLOW:
        return heads[1];
    case DT_ENV_NO_EFFECT:
        return heads[2];
    default:
        return heads[3];
    }
}

static enum dt_paint paint_of(enum dt_env_severity severity)
{
    switch (severity) {
    case DT_ENV_ABORT:
        return DT_PAINT_RED;
    case DT_ENV_SLOW:
    case DT_ENV_NO_EFFECT:
        return DT_PAINT_YELLOW;
    default:
        return DT_PAINT_GREEN;
    }
}

static char *does_of(const struct dt_env_finding *f)
{
    struct dt_buf out = DT_BUF_INIT;
    switch (f->action) {
    case DT_ENV_SET:
        dt_buf_printf(&out, "sets %s", f->set_to);
        break;
    case DT_ENV_FORCE:
        dt_buf_printf(&out, "sets %s (the admin's rule)", f->set_to);
        break;
    case DT_ENV_UNSET:
        dt_buf_puts(&out, "takes it away (the admin's rule)");
        break;
    case DT_ENV_WARN:
        dt_buf_puts(&out, f->value ? "keeps it, warns" : "warns"); /* of the node, not a value */
        break;
    case DT_ENV_REFUSE:
        dt_buf_puts(&out, "refuses the job");
        break;
    default:
        dt_buf_puts(&out, "keeps it");
        break;
    }
    return dt_buf_take(&out);
}

static char *value_of(const struct remark *r)
{
    const char *value = r->finding->value;
    struct dt_buf out = DT_BUF_INIT;
    if (!value && !r->setting)
        dt_buf_puts(&out, "-");
    else if (!value || (r->setting && !r->setting->value))
        dt_buf_puts(&out, "(not known)");
    else if (strlen(value) > VALUE_SHOWN)
        dt_buf_printf(&out, "%.*s...", VALUE_SHOWN, value);
    else
        dt_buf_puts(&out, *value ? value : "\"\"");
    return dt_buf_take(&out);
}

static bool words_of(struct words *w, const struct remark *r)
{
    const struct dt_env_finding *f = r->finding;
    struct dt_buf source = DT_BUF_INIT, fix = DT_BUF_INIT;
    if (*f->rule)
        dt_buf_printf(&source, "rule %s; ", f->rule);
    dt_buf_puts(&source, f->source);
    if (*f->fix)
        dt_buf_printf(&fix, "fix: %s", f->fix);
    *w = (struct words){.does = does_of(f),
                        .value = value_of(r),
                        .source = dt_buf_take(&source),
                        .fix = *f->fix ? dt_buf_take(&fix) : NULL};
    return w->does && w->value && w->source && (w->fix || !*f->fix);
}

static void words_fini(struct words *w)
{
    free(w->does);
    free(w->value);
    free(w->source);
    free(w->fix);
}

static void add_wide(struct dt_columns *columns, const struct remark *r, const struct words *w)
{
    enum dt_env_severity severity = r->finding->severity;
    dt_columns_add(
        columns,
        (const char *[]){head_of(severity), r->finding->variable, w->value, w->does, r->message}, 0,
        paint_of(severity));
    if (w->fix)
        dt_columns_add(columns, (const char *[]){NULL, NULL, NULL, NULL, w->fix}, 0, DT_PAINT_NONE);
    dt_columns_add(columns, (const char *[]){NULL, NULL, NULL, NULL, w->source}, 4, DT_PAINT_DIM);
}

static void add_narrow(struct dt_columns *columns, const struct remark *r, const struct words *w)
{
    enum dt_env_severity severity = r->finding->severity;
    struct dt_buf line = DT_BUF_INIT;
    if (r->setting)
        dt_buf_printf(&line, "%s=%s, dt %s", r->finding->variable, w->value, w->does);
    else
        dt_buf_printf(&line, "%s, dt %s", r->finding->variable, w->does);
    dt_columns_add(columns, (const char *[]){head_of(severity), line.data}, 0, paint_of(severity));
    dt_columns_add(columns, (const char *[]){NULL, r->message}, 0, DT_PAINT_NONE);
    if (w->fix)
        dt_columns_add(columns, (const char *[]){NULL, w->fix}, 0, DT_PAINT_NONE);
    dt_columns_add(columns, (const char *[]){NULL, w->source}, 1, DT_PAINT_DIM);
    columns->failed |= line.failed;
    dt_buf_fini(&line);
}

static size_t count_of(const struct verdict *v, enum dt_env_severity severity)
{
    size_t count = 0;
    for (size_t i = 0; i < v->count; i++)
        count += v->items[i].finding->severity == severity;
    return count;
}

static void put_summary(struct dt_buf *out, const struct verdict *v, bool color)
{
    static const enum dt_env_severity order[] = {DT_ENV_ABORT, DT_ENV_SLOW, DT_ENV_NO_EFFECT,
                                                 DT_ENV_FINE};
    const char *separator = "";
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        char text[48];
        size_t count = count_of(v, order[i]);
        if (count == 0)
            continue;
        snprintf(text, sizeof text, "%zu %s", count, severity_word(order[i]));
        dt_buf_puts(out, separator);
        dt_paint(out, paint_of(order[i]), text, color);
        separator = ", ";
    }
    if (v->count == 0)
        dt_buf_puts(out, "nothing that dt knows of is set, and nothing has to be");
    dt_buf_puts(out, "\n");
}

/* One row for all that nothing is to be said of. */
static void add_quiet(struct dt_columns *columns, const struct verdict *v, bool wide)
{
    struct dt_buf names = DT_BUF_INIT, head = DT_BUF_INIT;
    size_t count = 0;
    for (size_t i = 0; i < v->count; i++)
        if (v->items[i].quiet)
            dt_buf_printf(&names, "%s%s", count++ ? ", " : "", v->items[i].finding->variable);
    dt_buf_printf(&head, "%zu other%s%s", count, count == 1 ? "" : "s",
                  wide         ? ""
                  : count == 1 ? ", dt keeps it"
                               : ", dt keeps them");
    dt_buf_puts(&names, "; no rule has anything to say of ");
    dt_buf_puts(&names, count == 1 ? "it" : "them");
    if (count > 0 && wide)
        dt_columns_add(columns,
                       (const char *[]){head_of(DT_ENV_FINE), head.data, "",
                                        count == 1 ? "keeps it" : "keeps them", names.data},
                       0, DT_PAINT_GREEN);
    if (count > 0 && !wide) {
        dt_columns_add(columns, (const char *[]){head_of(DT_ENV_FINE), head.data}, 0,
                       DT_PAINT_GREEN);
        dt_columns_add(columns, (const char *[]){NULL, names.data}, 0, DT_PAINT_NONE);
    }
    columns->failed |= names.failed || head.failed;
    dt_buf_fini(&names);
    dt_buf_fini(&head);
}

static void put_remarks(struct dt_buf *out, const struct verdict *v, int width, bool color)
{
    bool wide = width >= WIDE;
    struct dt_columns columns = {.count = wide ? 5 : 2};
    if (wide)
        dt_columns_add(&columns, (const char *[]){"", "VARIABLE", "YOURS", "DT", "WHY"}, 5,
                       DT_PAINT_DIM);
    for (size_t i = 0; i < v->count; i++) {
        struct words w;
        if (v->items[i].quiet)
            continue;
        if (!words_of(&w, &v->items[i]))
            out->failed = true;
        else if (wide)
            add_wide(&columns, &v->items[i], &w);
        else
            add_narrow(&columns, &v->items[i], &w);
        words_fini(&w);
    }
    add_quiet(&columns, v, wide);
    dt_columns_print(&columns, out, "", width, color);
    dt_columns_fini(&columns);
}

int verdict_table(const struct verdict *v, const struct subject *subject, const struct user *user,
                  struct dt_error *err)
{
    struct dt_buf out = DT_BUF_INIT;
    bool color = terminal_color();
    char *about = subject_describe(subject);
    dt_buf_printf(&out, "dt-env: %s\n", about ? about : "");
    out.failed |= !about;
    for (size_t i = 0; i < user->note_count; i++)
        dt_buf_printf(&out, "not read: %s\n", user->notes[i]);
    if (v->count > 0)
        put_remarks(&out, v, terminal_width(), color);
    put_summary(&out, v, color);
    free(about);
    if (!out.failed)
        fputs(out.data, stdout);
    bool failed = out.failed;
    dt_buf_fini(&out);
    return failed ? dt_error_set(err, "out of memory") : 0;
}
