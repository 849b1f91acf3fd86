/* SPDX-License-Identifier: Apache-2.0 */
/* dt-env versions: what is there, which copy the program loads and why; and the nodes of a step
 * against each other. Nodes are compared through a pipe, because that needs nothing but srun:
 *
 *   srun --ntasks-per-node=1 dt-env versions --json | dt-env versions --compare */
#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/exitcode.h"
#include "dt-env.h"
#include "versions/versions.h"

enum { KEY_JSON = 256, KEY_ROOT, KEY_PROGRAM, KEY_COMPARE, LINE_MAX_BYTES = 64 << 10 };

struct versions_options {
    const char *root, *program;
    bool json, compare;
};

static const struct argp_option versions_table[] = {
    {"json", KEY_JSON, NULL, 0, "One JSON object a line: one for each copy", 0},
    {"root", KEY_ROOT, "DIR", 0, "Look at the tree below DIR as if it were a machine", 0},
    {"program", KEY_PROGRAM, "FILE", 0,
     "The program whose libraries are meant (default: the python3 or python that PATH leads to)",
     0},
    {"compare", KEY_COMPARE, NULL, 0,
     "Read the --json lines of several nodes from standard input and name the odd ones", 0},
    {0},
};

static error_t parse_versions(int key, char *arg, struct argp_state *state)
{
    struct versions_options *o = state->input;
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
    "All nodes of a step against each other, the odd ones by name:\n\n"
    "  srun --ntasks-per-node=1 dt-env versions --json | dt-env versions --compare\n\n"
    "Exit status of --compare: 0 all equal, 1 some differ, 66 a node is missing.",
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

/* Nodes of the step that this process is a task of; 0: of none. */
static long step_nodes(void)
{
    const char *text = getenv("SLURM_STEP_NUM_NODES");
    const char *task = getenv("SLURM_PROCID");
    return text && task ? strtol(text, NULL, 10) : 0;
}

/* One write a line, so that the lines of several tasks do not run into each other. */
static int print_json(const struct dt_versions *versions, const char *node)
{
    setvbuf(stdout, NULL, _IOLBF, LINE_MAX_BYTES);
    for (size_t i = 0; i < versions->count; i++) {
        json_t *object = dt_version_json(&versions->items[i], node, step_nodes());
        char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
        json_decref(object);
        if (!text)
            return -1;
        printf("%s\n", text);
        free(text);
    }
    if (versions->count == 0) /* the node is there, with nothing of all this */
        printf("{\"node\":\"%s\",\"nodes\":%ld}\n", node, step_nodes());
    return 0;
}

static int width_of(const struct dt_versions *versions, bool component)
{
    int width = component ? 9 : 7;
    for (size_t i = 0; i < versions->count; i++) {
        const struct dt_version *v = &versions->items[i];
        const char *text = component ? v->component : v->version ? v->version : "?";
        int len = (int)strlen(text);
        width = len > width ? len : width;
    }
    return width;
}

static void print_table(const struct dt_versions *versions, const char *node)
{
    int component = width_of(versions, true), version = width_of(versions, false);
    bool many = step_nodes() > 1;
    for (size_t i = 0; i < versions->count; i++) {
        const struct dt_version *v = &versions->items[i];
        printf("%s%s%c %-*s %-*s  %s (%s; %s)\n", many ? node : "", many ? ": " : "",
               v->loads ? '*' : ' ', component, v->component, version,
               v->version ? v->version : "?", v->path, v->found, v->why);
    }
    if (versions->count == 0)
        printf("%s%snothing of what distributed training needs was found\n", many ? node : "",
               many ? ": " : "");
}

static void hint(void)
{
    const char *task = getenv("SLURM_PROCID");
    if (step_nodes() > 1 && task && strcmp(task, "0") == 0)
        fprintf(stderr, "dt-env versions: to compare the nodes: srun --ntasks-per-node=1 dt-env "
                        "versions --json | dt-env versions --compare\n");
}

static int look(const struct versions_options *o, struct dt_error *err)
{
    struct dt_root root;
    struct dt_versions versions;
    if (dt_root_init(&root, o->root, err) < 0)
        return DT_EXIT_USAGE;
    char *cwd = root.fake ? NULL : getcwd(NULL, 0);
    char *node = node_name();
    struct dt_versions_request request = {
        .root = &root, .env = environ, .cwd = cwd, .program = o->program};
    int code = DT_EXIT_HELPER;
    if (!node) {
        dt_error_set(err, "out of memory");
    } else if (dt_versions_detect(&versions, &request, err) == 0) {
        code = 0;
        if (!o->json) {
            print_table(&versions, node);
            hint();
        } else if (print_json(&versions, node) < 0) {
            dt_error_set(err, "out of memory");
            code = DT_EXIT_HELPER;
        }
        dt_versions_fini(&versions);
    }
    free(cwd);
    free(node);
    dt_root_fini(&root);
    return code;
}

/* ---- many nodes ---------------------------------------------------------------------------------- */

static int print_comparison(const struct versions_options *o,
                            const struct dt_versions_comparison *found)
{
    bool missing = found->nodes < found->expected;
    if (o->json) {
        json_t *object = json_pack("{s:I, s:I, s:O}", "nodes", (json_int_t)found->nodes, "expected",
                                   (json_int_t)found->expected, "findings", found->findings);
        char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
        json_decref(object);
        if (!text)
            return DT_EXIT_HELPER;
        printf("%s\n", text);
        free(text);
    } else {
        fputs(found->text, stdout);
        if (missing)
            printf("only %zu of %zu nodes reported\n", found->nodes, found->expected);
        if (found->differing == 0)
            printf("%zu node%s: all versions are equal\n", found->nodes,
                   found->nodes == 1 ? "" : "s");
    }
    return missing ? DT_EXIT_INCOMPLETE : found->differing ? 1 : 0;
}

static int read_nodes(struct dt_versions_nodes *nodes, struct dt_error *err)
{
    char *line = NULL;
    size_t size = 0, number = 0;
    ssize_t n;
    int rc = 0;
    while (rc == 0 && (n = getline(&line, &size, stdin)) >= 0) {
        number++;
        rc = n > LINE_MAX_BYTES ? dt_error_set(err, "longer than %d bytes", LINE_MAX_BYTES)
                                : dt_versions_nodes_add(nodes, line, (size_t)n, err);
    }
    if (rc < 0)
        dt_error_prefix(err, "line %zu of standard input", number);
    else if (ferror(stdin))
        rc = dt_error_set(err, "standard input can not be read: %s", strerror(errno));
    else if (number == 0)
        rc = dt_error_set(err, "standard input is empty; give it the lines that \"dt-env versions "
                               "--json\" printed on the nodes");
    free(line);
    return rc;
}

static int compare(const struct versions_options *o, struct dt_error *err)
{
    struct dt_versions_nodes *nodes = dt_versions_nodes_create();
    struct dt_versions_comparison found;
    int code = DT_EXIT_HELPER;
    if (!nodes)
        dt_error_set(err, "out of memory");
    else if (read_nodes(nodes, err) < 0)
        code = DT_EXIT_USAGE;
    else if (dt_versions_compare(&found, nodes, err) == 0) {
        code = print_comparison(o, &found);
        dt_versions_comparison_fini(&found);
    }
    dt_versions_nodes_destroy(nodes);
    return code;
}

int command_versions(int argc, char **argv)
{
    struct versions_options options = {0};
    struct dt_error err = {""};
    argp_parse(&versions_argp, argc, argv, 0, NULL, &options);
    int code = options.compare ? compare(&options, &err) : look(&options, &err);
    if (*err.text)
        fprintf(stderr, "dt-env versions: %s\n", err.text);
    return command_finish(code);
}
