/* SPDX-License-Identifier: Apache-2.0 */
/* The command line. All commands know the same options; what makes no sense together is refused. */
#include <argp.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/exitcode.h"
#include "dt-topo.h"
#include "version.h"

const char *argp_program_version = "dt-topo " DT_VERSION;

enum {
    KEY_AS = 512,
    KEY_TOPOLOGY,
    KEY_LIVE,
    KEY_NODE,
    KEY_ROOT,
    KEY_CONFIG,
    KEY_OVERRIDE,
    KEY_RANKS,
    KEY_ALLOWED,
    KEY_GPUS,
    KEY_MEMORY,
    KEY_EXPLAIN,
    KEY_JSON,
    KEY_FORMAT,
    KEY_WIDTH,
    KEY_COLOR,
};

static const struct argp_option table[] = {
    {NULL, 0, NULL, 0, "Which machine:", 1},
    {"live", KEY_LIVE, NULL, 0, "This machine (the default)", 1},
    {"node", KEY_NODE, "NAME", 0, "A node of the cluster, asked with srun", 1},
    {"topology", KEY_TOPOLOGY, "FILE", 0,
     "hwloc XML (lstopo --of xml) or NCCL XML (NCCL_TOPO_FILE), told apart by content", 1},
    {"as", KEY_AS, "TYPE", 0, "An EC2 instance type; with --topology: what the file leaves out", 1},
    {"root", KEY_ROOT, "DIR", 0, "The machine whose files are in DIR", 1},
    {"override", KEY_OVERRIDE, "FILE", 0,
     "Put this machine's devices where FILE has them, instead of dt.conf's topology-override", 1},
    {"config", KEY_CONFIG, "FILE", 0, "Read this instead of the installed dt.conf", 1},
    {NULL, 0, NULL, 0, "Which ranks:", 2},
    {"ranks", KEY_RANKS, "N", 0, "Plan for N ranks on the node", 2},
    {"allowed", KEY_ALLOWED, "CPULIST", 0, "The CPUs that the job has, as 0-7,96-103; else all", 2},
    {"gpus", KEY_GPUS, "LIST", 0,
     "The GPUs that the job has: numbers, UUIDs or PCI addresses; else all", 2},
    {"memory", KEY_MEMORY, "POLICY", 0, "preferred (the default), bind, interleave or local", 2},
    {NULL, 0, NULL, 0, "What to print:", 3},
    {"explain", KEY_EXPLAIN, NULL, 0, "With plan: rank by rank, what and why", 3},
    {"json", KEY_JSON, NULL, 0, "JSON for programs", 3},
    {"format", KEY_FORMAT, "FORMAT", 0, "text, json, svg or png; else what -o FILE ends in", 3},
    {"output", 'o', "FILE", 0, "Write to FILE", 3},
    {"width", KEY_WIDTH, "COLUMNS", 0, "Columns of the text; else the terminal's, 80 without one",
     3},
    {"color", KEY_COLOR, "WHEN", 0, "auto (the default), always or never", 3},
    {0},
};

static size_t take_number(struct argp_state *state, const char *name, const char *text, size_t min,
                          size_t max)
{
    char *end;
    unsigned long value;

    errno = 0;
    value = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno || value < min || value > max)
        argp_error(state, "%s=%s must be a number from %zu to %zu", name, text, min, max);
    return value;
}

static const char *take_word(struct argp_state *state, const char *name, const char *text,
                             const char *const *known)
{
    for (size_t i = 0; known[i]; i++)
        if (strcmp(known[i], text) == 0)
            return known[i];
    if (strcmp(name, "--memory") == 0)
        argp_error(state, "--memory=%s must be preferred, bind, interleave or local", text);
    else
        argp_error(state, "%s=%s must be auto, always or never", name, text);
    return text;
}

static const char *const format_names[] = {"text", "json", "svg", "png"};

static enum format take_format(struct argp_state *state, const char *text)
{
    for (size_t i = 0; i < sizeof(format_names) / sizeof(format_names[0]); i++)
        if (strcmp(format_names[i], text) == 0)
            return (enum format)i;
    argp_error(state, "--format=%s must be text, json, svg or png", text);
    return FORMAT_TEXT;
}

struct parse {
    struct options *options;
    bool format_given;
};

static void check(struct argp_state *state, struct parse *parse)
{
    struct options *o = parse->options;
    int machines = o->live + (o->node != NULL) + (o->topology != NULL) + (o->root != NULL);

    if (machines > 1 || (o->as && !o->topology && machines > 0))
        argp_error(state,
                   "--live, --node, --topology, --as and --root are different machines: give "
                   "one (--as can complete --topology)");
    if (o->command != COMMAND_DRAW && o->ranks == 0)
        argp_error(state, "--ranks N is needed: how many ranks the node has");
    if (o->command != COMMAND_DRAW && o->format > FORMAT_JSON)
        argp_error(state, "only the drawing can be SVG or PNG");
    if (o->ranks == 0 && (o->allowed || o->gpus || o->memory))
        argp_error(state, "--allowed, --gpus and --memory are about ranks: give --ranks N too");
    if (o->explain && (o->command != COMMAND_PLAN || o->format != FORMAT_TEXT))
        argp_error(state, "--explain is a text of the command plan");
    if (o->format == FORMAT_PNG && !o->output)
        argp_error(state, "a PNG needs -o FILE");
    if (o->override && (o->topology || o->as))
        argp_error(state, "--override is for a live machine; a file or a type is what it is");
}

static error_t parse_one(int key, char *arg, struct argp_state *state)
{
    static const char *const policies[] = {"preferred", "bind", "interleave", "local", NULL};
    static const char *const colors[] = {"auto", "always", "never", NULL};
    struct parse *parse = state->input;
    struct options *o = parse->options;

    switch (key) {
    case KEY_AS:
        o->as = arg;
        return 0;
    case KEY_TOPOLOGY:
        o->topology = arg;
        return 0;
    case KEY_LIVE:
        o->live = true;
        return 0;
    case KEY_ROOT:
        o->root = arg;
        return 0;
    case KEY_CONFIG:
        o->config = arg;
        return 0;
    case KEY_OVERRIDE:
        o->override = arg;
        return 0;
    case KEY_RANKS:
        o->ranks = take_number(state, "--ranks", arg, 1, 16384);
        return 0;
    case KEY_ALLOWED:
        o->allowed = arg;
        return 0;
    case KEY_GPUS:
        o->gpus = arg;
        return 0;
    case KEY_MEMORY:
        o->memory = take_word(state, "--memory", arg, policies);
        return 0;
    case KEY_EXPLAIN:
        o->explain = true;
        return 0;
    case KEY_JSON:
        o->format = FORMAT_JSON;
        parse->format_given = true;
        return 0;
    case KEY_FORMAT:
        o->format = take_format(state, arg);
        parse->format_given = true;
        return 0;
    case 'o':
        o->output = arg;
        return 0;
    case KEY_WIDTH:
        o->width = take_number(state, "--width", arg, 60, 400);
        return 0;
    case KEY_COLOR:
        o->color = take_word(state, "--color", arg, colors);
        return 0;
    case ARGP_KEY_ARG:
    case KEY_NODE:
        if (o->node)
            argp_error(state, "one node at a time: '%s' or '%s'", o->node, arg);
        o->node = arg;
        return 0;
    case ARGP_KEY_END:
        for (size_t i = 0; !parse->format_given && o->output && i < 4; i++) {
            const char *dot = strrchr(o->output, '.');
            if (dot && strcmp(dot + 1, format_names[i]) == 0)
                o->format = (enum format)i;
        }
        check(state, parse);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

void options_parse(struct options *options, int argc, char **argv)
{
    static const struct argp argp = {
        .options = table,
        .parser = parse_one,
        .args_doc = "[NODE]\nplan --ranks N [NODE]\ncompare --ranks N [NODE]",
        .doc = "Draws a node and what dt plans for its ranks: cores, GPUs, NICs, memory.\v"
               "Exit status: 0; 64 usage; 71 no topology or no plan; 73 FILE can not be written; "
               "78 configuration. dt-topo(1) tells the rest.",
    };
    struct parse parse = {.options = options};

    *options = (struct options){.color = "auto"};
    if (argc > 1 && strcmp(argv[1], "plan") == 0)
        options->command = COMMAND_PLAN;
    else if (argc > 1 && strcmp(argv[1], "compare") == 0)
        options->command = COMMAND_COMPARE;
    if (options->command != COMMAND_DRAW) {
        argv[1] = argv[0];
        argv++;
        argc--;
    }
    argp_err_exit_status = DT_EXIT_USAGE;
    argp_parse(&argp, argc, argv, 0, NULL, &parse);
}
