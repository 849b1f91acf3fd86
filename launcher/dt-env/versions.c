/* SPDX-License-Identifier: Apache-2.0 */
/* dt-env versions: what is there, which copy the program loads and why. */
#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/exitcode.h"
#include "dt-env.h"
#include "report/columns.h"
#include "terminal.h"
#include "versions.h"

enum { KEY_JSON = 256, KEY_ROOT, KEY_PROGRAM, KEY_COMPARE, KEY_TIMEOUT };

static const struct argp_option versions_table[] = {
    {"json", KEY_JSON, NULL, 0, "One JSON object a line: one for each copy", 0},
    {"root", KEY_ROOT, "DIR", 0, "Look at the tree in DIR instead of this machine", 0},
    {"program", KEY_PROGRAM, "FILE", 0,
     "The program whose libraries are meant (default: the python3 or python that PATH leads to)",
     0},
    {"compare", KEY_COMPARE, NULL, 0,
     "Read the --json lines of several nodes from standard input and name the odd ones", 0},
    {"timeout", KEY_TIMEOUT, "SECONDS", 0,
     "How long the nodes of a step wait for each other (default 30)", 0},
    {0},
};

static error_t parse_versions(int key, char *arg, struct argp_state *state)
{
    struct versions_options *o = state->input;
    char *end;
    switch (key) {
    case KEY_JSON:
        o->json = true;
        return 0;
    case KEY_ROOT:
        o->root = arg;
        return 0;
    case KEY_PROGRAM:
        o->program = arg;
        return 0;
    case KEY_COMPARE:
        o->compare = true;
        return 0;
    case KEY_TIMEOUT:
        o->timeout = strtol(arg, &end, 10);
        if (end == arg || *end || o->timeout < 1 || o->timeout > 3600)
            argp_error(state, "--timeout '%s' is not a number of seconds from 1 to 3600", arg);
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "one word too many: '%s'", arg);
        return 0;
    case ARGP_KEY_END:
        if (o->compare && (o->root || o->program))
            argp_error(state, "--compare reads what the nodes printed: no --root, no --program");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp versions_argp = {
    versions_table,
    parse_versions,
    NULL,
    "Which drivers and libraries this environment leads to, and which copy the program loads.\v"
    "In a step of several nodes (srun -N4 dt-env versions) the nodes are compared, and the first "
    "one "
    "prints what it has and which nodes differ from the others. With --json each node prints its "
    "own, to be kept or compared later:\n\n"
    "  srun -N4 dt-env versions --json > then; dt-env versions --compare < then\n\n"
    "Exit status where nodes are compared: 0 all equal, 1 some differ, 66 a node is missing.",
    NULL,
    NULL,
    NULL};

/* ---- this node ---------------------------------------------------------------------------------- */

static char *node_name(void)
{
    const char *slurm = getenv("SLURMD_NODENAME");
    char host[256] = "";
    if (slurm && *slurm)
        return strdup(slurm);
    if (gethostname(host, sizeof host - 1) < 0 || !*host)
        return strdup("localhost");
    return strdup(host);
}

int versions_put_json(struct dt_buf *out, const struct dt_versions *versions, const char *node,
                      long nodes)
{
    for (size_t i = 0; i < versions->count; i++) {
        json_t *object = dt_version_json(&versions->items[i], node, nodes);
        char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
        json_decref(object);
        if (!text)
            return -1;
        dt_buf_printf(out, "%s\n", text);
        free(text);
    }
    if (versions->count == 0) /* the node is there, with nothing of all this */
        dt_buf_printf(out, "{\"node\":\"%s\",\"nodes\":%ld}\n", node, nodes);
    return out->failed ? -1 : 0;
}

/* One write a line, so that the lines of several tasks do not run into each other. */
static int print_json(const struct dt_versions *versions, const char *node, long nodes)
{
    struct dt_buf out = DT_BUF_INIT;
    int rc = versions_put_json(&out, versions, node, nodes);
    setvbuf(stdout, NULL, _IOLBF, VERSIONS_LINE_MAX);
    if (rc == 0)
        fputs(out.data, stdout);
    dt_buf_fini(&out);
    return rc;
}

/* The mark says that the program loads this copy. */
static void add_row(struct dt_columns *columns, const struct dt_version *v)
{
    struct dt_buf where = DT_BUF_INIT;
    dt_buf_printf(&where, "%s%s(%s; %s)", v->path, *v->path ? " " : "", v->found, v->why);
    dt_columns_add(columns,
                   (const char *[]){v->loads ? "*" : NULL, v->component,
                                    v->version ? v->version : "?", where.data},
                   v->loads ? 2 : 3, v->loads ? DT_PAINT_GREEN : DT_PAINT_DIM);
    columns->failed |= where.failed;
    dt_buf_fini(&where);
}

int versions_print(const struct dt_versions *versions, const char *indent)
{
    struct dt_columns columns = {.count = 4};
    struct dt_buf out = DT_BUF_INIT;
    dt_columns_add(&columns,
                   (const char *[]){NULL, "COMPONENT", "VERSION",
                                    "COPY (VERSION FROM; WHY IT IS LOADED, *, OR NOT)"},
                   4, DT_PAINT_NONE);
    for (size_t i = 0; i < versions->count; i++)
        add_row(&columns, &versions->items[i]);
    if (versions->count > 0)
        dt_columns_print(&columns, &out, indent, terminal_width(), terminal_color());
    else
        dt_buf_printf(&out, "%snothing of what distributed training needs was found\n", indent);
    bool failed = out.failed || columns.failed;
    if (!failed)
        fputs(out.data, stdout);
    dt_columns_fini(&columns);
    dt_buf_fini(&out);
    return failed ? -1 : 0;
}

static int detect(const struct versions_options *o, struct dt_versions *versions,
                  struct dt_error *err)
{
    struct dt_root root;
    if (dt_root_init(&root, o->root, err) < 0)
        return DT_EXIT_USAGE;
    char *cwd = root.fake ? NULL : getcwd(NULL, 0);
    struct dt_versions_request request = {
        .root = &root, .env = environ, .cwd = cwd, .program = o->program};
    int rc = dt_versions_detect(versions, &request, err);
    free(cwd);
    dt_root_fini(&root);
    return rc < 0 ? DT_EXIT_HELPER : 0;
}

static int show(const struct versions_options *o, const struct dt_versions *versions,
                struct dt_error *err)
{
    struct step step = {0};
    bool in_step = step_find(&step);
    step.seconds = o->timeout;
    char *node = node_name();
    int code = 0;
    if (!node || (o->json && print_json(versions, node, (long)step.nodes.count) < 0)) {
        dt_error_set(err, "out of memory");
        code = DT_EXIT_HELPER;
    } else if (!o->json && in_step) {
        code = versions_of_step(&step, versions, node, err);
    } else if (!o->json && versions_print(versions, "") < 0) {
        dt_error_set(err, "out of memory");
        code = DT_EXIT_HELPER;
    }
    free(node);
    if (in_step)
        step_fini(&step);
    return code;
}

static int look(const struct versions_options *o, struct dt_error *err)
{
    struct dt_versions versions;
    int code = detect(o, &versions, err);
    if (code)
        return code;
    code = show(o, &versions, err);
    dt_versions_fini(&versions);
    return code;
}

int command_versions(int argc, char **argv)
{
    struct versions_options options = {.timeout = 30};
    struct dt_error err = {""};
    argp_parse(&versions_argp, argc, argv, 0, NULL, &options);
    int code = options.compare ? versions_compare(&options, &err) : look(&options, &err);
    if (*err.text)
        fprintf(stderr, "dt-env versions: %s\n", err.text);
    return command_finish(code);
}
