/* SPDX-License-Identifier: Apache-2.0 */
/* dt-topo: from the command line to an answer, and where the answer goes. */
#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/exitcode.h"
#include "dt-topo.h"

enum { NARROWEST = 60, USUAL = 80, WIDEST = 120 };

static size_t terminal_width(void)
{
    const char *columns = getenv("COLUMNS");
    struct winsize size;
    long width = columns ? strtol(columns, NULL, 10) : 0;

    if (width <= 0 && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
        width = size.ws_col;
    if (width <= 0)
        return USUAL;
    return width < NARROWEST ? NARROWEST : width > WIDEST ? WIDEST : (size_t)width;
}

/* Where the answer ends up on a terminal is known here, not on the node that is asked. */
static void settle_terminal(struct options *o)
{
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    bool color = !o->output && isatty(STDOUT_FILENO) && (!no_color || !*no_color) &&
                 (!term || strcmp(term, "dumb") != 0);

    if (o->width == 0)
        o->width = terminal_width();
    if (strcmp(o->color, "auto") == 0)
        o->color = color ? "always" : "never";
}

static int draw(const struct options *o, const struct view *view, struct dt_buf *out)
{
    switch (o->format) {
    case FORMAT_JSON:
        return draw_json(out, view);
    case FORMAT_SVG:
    case FORMAT_PNG:
        return draw_svg(out, view);
    default:
        return draw_text(out, view, o->width, strcmp(o->color, "always") == 0,
                         strcmp(nl_langinfo(CODESET), "UTF-8") == 0);
    }
}

static int show_plan(const struct options *o, const struct view *view, struct dt_buf *out)
{
    char *text;

    if (o->format == FORMAT_JSON)
        return plan_json(out, view);
    if (!o->explain)
        return draw(o, view, out);
    text = dt_bind_explain(&view->planning->plan, view->topology);
    if (!text)
        return -1;
    dt_buf_puts(out, text);
    free(text);
    return 0;
}

static int answer(const struct options *o, struct dt_buf *out, struct dt_error *err)
{
    struct subject subject;
    struct planning planning = {0};
    struct view view = {.topology = &subject.topology};
    int code = subject_load(&subject, o, err), rc;

    if (code == 0)
        code = planning_make(&planning, &subject.topology, o, err);
    if (code == 0) {
        if (o->ranks)
            view.planning = &planning;
        if (o->command == COMMAND_COMPARE)
            rc = compare_show(out, &subject.topology, &planning, o->format == FORMAT_JSON);
        else if (o->command == COMMAND_PLAN)
            rc = show_plan(o, &view, out);
        else
            rc = draw(o, &view, out);
        if (rc || out->failed) {
            dt_error_set(err, "out of memory");
            code = DT_EXIT_HELPER;
        }
    }
    planning_fini(&planning);
    subject_fini(&subject);
    return code;
}

static int write_file(const char *path, const struct dt_buf *out, struct dt_error *err)
{
    FILE *file = fopen(path, "we");
    bool good = file && fwrite(out->data, 1, out->len, file) == out->len;

    if (file && fclose(file))
        good = false;
    return good ? 0 : dt_error_set(err, "%s can not be written: %s", path, strerror(errno));
}

static int deliver(const struct options *o, const struct dt_buf *out, struct dt_error *err)
{
    int rc;

    if (o->format == FORMAT_PNG)
        rc = png_write(o->output, out, err);
    else if (o->output)
        rc = write_file(o->output, out, err);
    else if (fwrite(out->data, 1, out->len, stdout) == out->len && fflush(stdout) == 0)
        rc = 0;
    else
        rc = dt_error_set(err, "standard output can not be written: %s", strerror(errno));
    return rc ? DT_EXIT_REPORT : 0;
}

int main(int argc, char **argv)
{
    struct options options;
    struct dt_buf out = DT_BUF_INIT;
    struct dt_error err = {{0}};
    int code;

    setlocale(LC_CTYPE, "");
    options_parse(&options, argc, argv);
    settle_terminal(&options);
    code = options.node ? node_ask(&options, &out, &err) : answer(&options, &out, &err);
    if (code == 0)
        code = deliver(&options, &out, &err);
    if (code)
        fprintf(stderr, "dt-topo: %s\n", err.text);
    dt_buf_fini(&out);
    return code;
}
