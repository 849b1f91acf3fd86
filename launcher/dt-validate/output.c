/* SPDX-License-Identifier: Apache-2.0 */
/* Results as a table, as one line, and in the forms of programs. */
#include "output.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>

#include "base/buf.h"
#include "base/whole.h"
#include "report/suite.h"
#include "version.h"

static const char *node_of(const struct outcome *o)
{
    const char *name = "this node";
    dt_facts_string(&o->inspection->facts, "node.name", &name);
    return name;
}

static const char *type_of(const struct outcome *o)
{
    const char *type = "unknown type";
    dt_facts_string(&o->inspection->facts, "instance.type", &type);
    return type;
}

static size_t count_of(const struct outcome *o, enum dt_result result)
{
    size_t count = 0;
    for (size_t i = 0; i < o->inspection->checks.count; i++)
        count += o->inspection->checks.items[i].result == result;
    return count;
}

static void print_counts(const struct outcome *o)
{
    static const struct {
        enum dt_result result;
        const char *words;
    } kinds[] = {{DT_FAIL, "failed"},
                 {DT_UNKNOWN, "not known"},
                 {DT_WARN, "with a warning"},
                 {DT_PASS, "passed"},
                 {DT_SKIP, "do not apply"}};
    const char *comma = "";
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        size_t count = count_of(o, kinds[i].result);
        if (count == 0)
            continue;
        printf("%s%zu %s", comma, count, kinds[i].words);
        comma = ", ";
    }
}

static void print_check(const struct dt_check_result *c)
{
    printf("%-8s %-16s %s%s%s\n", dt_result_name(c->result), c->name, c->value,
           *c->limit ? "; wanted: " : "", c->limit);
    if (c->severity != DT_SEVERITY_NONE)
        printf("%-8s %-16s %s%s%s\n", "", "", dt_severity_name(c->severity), *c->next ? ": " : "",
               c->next);
}

static void print_bad(const struct outcome *o)
{
    for (int result = DT_FAIL; result > DT_SKIP; result--) {
        for (size_t i = 0; i < o->inspection->checks.count; i++) {
            if (o->inspection->checks.items[i].result == (enum dt_result)result)
                print_check(&o->inspection->checks.items[i]);
        }
    }
}

void output_table(const struct outcome *o, bool all)
{
    printf("%s (%s): %s; ", node_of(o), type_of(o), dt_result_name(o->verdict));
    print_counts(o);
    printf("; level %s, %.1f ms\n", dt_level_name(o->level), (double)o->us / 1000);
    print_bad(o);
    for (size_t i = 0; all && i < o->inspection->checks.count; i++) {
        if (o->inspection->checks.items[i].result <= DT_SKIP)
            print_check(&o->inspection->checks.items[i]);
    }
}

void output_wrong(const struct outcome *o)
{
    if (o->verdict == DT_PASS)
        return;
    printf("%s (%s): %s\n", node_of(o), type_of(o), dt_result_name(o->verdict));
    print_bad(o);
}

static enum dt_severity worst_severity(const struct outcome *o)
{
    enum dt_severity worst = DT_SEVERITY_NONE;
    for (size_t i = 0; i < o->inspection->checks.count; i++) {
        const struct dt_check_result *c = &o->inspection->checks.items[i];
        if (c->result == o->verdict && c->severity > worst)
            worst = c->severity;
    }
    return worst;
}

static json_t *document(const struct outcome *o)
{
    return json_pack("{s:i,s:s,s:s,s:s,s:s,s:s,s:s,s:I,s:o}", "schema", 1, "dt", DT_VERSION, "node",
                     node_of(o), "type", type_of(o), "level", dt_level_name(o->level), "verdict",
                     dt_result_name(o->verdict), "severity", dt_severity_name(worst_severity(o)),
                     "us", (json_int_t)o->us, "checks",
                     dt_check_results_to_json(&o->inspection->checks));
}

static int take_piece(const char *bytes, size_t len, void *context)
{
    dt_buf_append(context, bytes, len);
    return 0;
}

/* As the other forms have them: what a file held that is no text is replaced in JSON. */
static int render_suite(const struct outcome *o, enum form form,
                        const struct dt_check_results *checks, struct dt_buf *text)
{
    struct dt_suite suite = {.node = node_of(o), .checks = checks, .us = (long)o->us};
    struct dt_suites suites = {.items = &suite,
                               .count = 1,
                               .level = dt_level_name(o->level),
                               .job = getenv("SLURM_JOB_ID"),
                               .verdict = o->verdict,
                               .when = time(NULL)};
    return form == FORM_JUNIT ? dt_junit_write(&suites, take_piece, text)
                              : dt_prometheus_write(&suites, take_piece, text);
}

static int render(const struct outcome *o, enum form form, struct dt_buf *text)
{
    struct dt_check_results checks = {0};
    struct dt_error err;
    json_t *json = document(o);
    int rc = -1;
    if (json && form == FORM_JSON) {
        rc = json_dump_callback(json, take_piece, text, JSON_INDENT(1));
        dt_buf_puts(text, "\n");
    } else if (json &&
               dt_check_results_from_json(&checks, json_object_get(json, "checks"), &err) == 0) {
        rc = render_suite(o, form, &checks, text);
        dt_check_results_fini(&checks);
    }
    json_decref(json);
    return rc;
}

int output_replace(const char *option, const char *path, const struct dt_buf *text,
                   struct dt_error *err)
{
    int rc = dt_whole_replace(path, text->data, text->len);
    return rc == 0
               ? 0
               : dt_error_set(err, "%s: '%s' can not be written: %s", option, path, strerror(-rc));
}

int output_form(const struct outcome *o, const struct options *options, struct dt_error *err)
{
    struct dt_buf text = DT_BUF_INIT;
    int rc = render(o, options->form, &text);
    if (rc < 0 || text.failed)
        rc = dt_error_set(err, "out of memory");
    else if (options->output)
        rc = output_replace("--output", options->output, &text, err);
    else
        fwrite(text.data, 1, text.len, stdout);
    dt_buf_fini(&text);
    return rc;
}

/* The first of the worst: what one line has room for. */
static const struct dt_check_result *worst_check(const struct outcome *o)
{
    for (size_t i = 0; i < o->inspection->checks.count; i++) {
        if (o->inspection->checks.items[i].result == o->verdict)
            return &o->inspection->checks.items[i];
    }
    return NULL;
}

void output_nagios(const struct outcome *o)
{
    const char *state = o->verdict == DT_PASS   ? "OK"
                        : o->verdict == DT_WARN ? "WARNING"
                        : o->verdict == DT_FAIL ? "CRITICAL"
                                                : "UNKNOWN";
    const struct dt_check_result *worst = worst_check(o);
    printf("DT %s: ", state);
    if (o->verdict == DT_PASS || !worst) {
        printf("%s: ", node_of(o));
        print_counts(o);
    } else {
        /* '|' begins the performance data */
        for (const char *c = worst->message; *c; c++)
            putchar(*c == '|' ? '/' : *c);
    }
    printf(" | passed=%zu failed=%zu warned=%zu unknown=%zu time=%.4fs\n", count_of(o, DT_PASS),
           count_of(o, DT_FAIL), count_of(o, DT_WARN), count_of(o, DT_UNKNOWN),
           (double)o->us / 1e6);
}

void output_syslog(const struct outcome *o)
{
    for (size_t i = 0; i < o->inspection->checks.count; i++) {
        const struct dt_check_result *c = &o->inspection->checks.items[i];
        if (c->result > DT_SKIP)
            syslog(c->result == DT_FAIL ? LOG_ERR : LOG_WARNING, "%s %s %s",
                   dt_result_name(c->result), dt_severity_name(c->severity), c->message);
    }
}
