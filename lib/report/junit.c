/* SPDX-License-Identifier: Apache-2.0 */
/* JUnit's XML: a test suite a node, a test case a check. FAIL is a failure, UNKNOWN and a node that
 * did not report are errors, WARN passes with a word to standard error. */
#include <string.h>

#include "base/buf.h"
#include "report/suite.h"

/* XML knows no control characters but blanks, not even escaped. */
static void put_text(struct dt_buf *out, const char *text)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '&')
            dt_buf_puts(out, "&amp;");
        else if (c == '<')
            dt_buf_puts(out, "&lt;");
        else if (c == '>')
            dt_buf_puts(out, "&gt;");
        else if (c == '"')
            dt_buf_puts(out, "&quot;");
        else
            dt_buf_printf(out, "%c", c < 0x20 || c == 0x7f ? ' ' : c);
    }
}

static void put_attribute(struct dt_buf *out, const char *name, const char *text)
{
    dt_buf_printf(out, " %s=\"", name);
    put_text(out, text ? text : "");
    dt_buf_puts(out, "\"");
}

static void put_case(struct dt_buf *out, const char *class, const struct dt_check_result *result)
{
    static const char *const elements[] = {[DT_SKIP] = "skipped",
                                           [DT_WARN] = "system-err",
                                           [DT_UNKNOWN] = "error",
                                           [DT_FAIL] = "failure"};
    dt_buf_puts(out, "  <testcase");
    put_attribute(out, "classname", class);
    put_attribute(out, "name", result->name);
    dt_buf_printf(out, " time=\"%ld.%06ld\"", result->us / 1000000, result->us % 1000000);
    if (result->result == DT_PASS) {
        dt_buf_puts(out, "/>\n");
        return;
    }
    const char *element = elements[result->result];
    dt_buf_printf(out, "><%s", element);
    if (result->result == DT_FAIL || result->result == DT_UNKNOWN)
        put_attribute(out, "type", dt_severity_name(result->severity));
    if (result->result != DT_WARN)
        put_attribute(out, "message", result->value);
    dt_buf_puts(out, ">");
    put_text(out, result->message ? result->message : result->value ? result->value : "");
    dt_buf_printf(out, "</%s></testcase>\n", element);
}

struct counts {
    size_t of[DT_FAIL + 1], all;
};

static void count(struct counts *counts, const struct dt_suite *suite)
{
    for (size_t i = 0; i < suite->checks->count; i++)
        counts->of[suite->checks->items[i].result]++;
    for (size_t i = 0; i < suite->finding_count; i++)
        counts->of[suite->findings[i]->result]++;
    counts->of[DT_UNKNOWN] += suite->lost != NULL;
    for (int r = DT_PASS; r <= DT_FAIL; r++)
        counts->all += counts->of[r];
}

static void put_suite(struct dt_buf *out, const struct dt_suite *suite, const char *level)
{
    struct counts counts = {0};
    struct dt_check_result lost = {
        .name = "report", .result = DT_UNKNOWN, .value = (char *)suite->lost};
    count(&counts, suite);
    dt_buf_puts(out, " <testsuite");
    put_attribute(out, "name", suite->node);
    dt_buf_printf(out,
                  " tests=\"%zu\" failures=\"%zu\" errors=\"%zu\" skipped=\"%zu\" "
                  "time=\"%ld.%06ld\">\n",
                  counts.all, counts.of[DT_FAIL], counts.of[DT_UNKNOWN], counts.of[DT_SKIP],
                  suite->us / 1000000, suite->us % 1000000);
    dt_buf_puts(out, "  <properties><property name=\"level\"");
    put_attribute(out, "value", level);
    dt_buf_puts(out, "/></properties>\n");
    if (suite->lost)
        put_case(out, "dt.report", &lost);
    for (size_t i = 0; i < suite->checks->count; i++)
        put_case(out, "dt.check", &suite->checks->items[i]);
    for (size_t i = 0; i < suite->finding_count; i++)
        put_case(out, "dt.compare", suite->findings[i]);
    dt_buf_puts(out, " </testsuite>\n");
}

static int flush(struct dt_buf *out, json_dump_callback_t write, void *context)
{
    int rc = out->failed ? -1 : write(out->data ? out->data : "", out->len, context);
    dt_buf_clear(out);
    return rc;
}

int dt_junit_write(const struct dt_suites *suites, json_dump_callback_t write, void *context)
{
    struct dt_buf out = DT_BUF_INIT;
    dt_buf_puts(&out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites");
    put_attribute(&out, "name", "dt");
    if (suites->job && *suites->job)
        put_attribute(&out, "id", suites->job);
    dt_buf_puts(&out, ">\n");
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < suites->count; i++) {
        put_suite(&out, &suites->items[i], suites->level);
        rc = flush(&out, write, context);
    }
    dt_buf_puts(&out, "</testsuites>\n");
    if (rc == 0)
        rc = flush(&out, write, context);
    dt_buf_fini(&out);
    return rc;
}
