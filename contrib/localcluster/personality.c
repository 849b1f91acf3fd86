/* SPDX-License-Identifier: Apache-2.0 */
/* dt-personality: makes the trees that the local cluster's nodes live in, and breaks them. */
#include <argp.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/exitcode.h"
#include "personality/personality.h"

struct arguments {
    const char *instances, *type, *out, *node, *nvml, *root;
    bool wants_out, settled;
    char **faults; /* of the command line */
    int fault_count;
};

static int complain(const struct dt_error *err, int code)
{
    fprintf(stderr, "dt-personality: %s\n", err->text);
    return code;
}

/* ---- tree ---- */

static error_t parse_tree(int key, char *arg, struct argp_state *state)
{
    struct arguments *args = state->input;
    switch (key) {
    case 'i':
        args->instances = arg;
        return 0;
    case 't':
        args->type = arg;
        return 0;
    case 'o':
        args->out = arg;
        return 0;
    case 'n':
        args->node = arg;
        return 0;
    case 's':
        args->settled = true;
        return 0;
    case 'l':
        args->nvml = arg;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected argument '%s'", arg);
        return EINVAL;
    case ARGP_KEY_END:
        if (!args->instances || !args->type || (!args->out && args->wants_out))
            argp_error(state, "--instances, --type%s are needed", args->wants_out ? ", --out" : "");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option tree_options[] = {
    {"instances", 'i', "FILE", 0, "table of EC2 types (instances.conf)", 0},
    {"type", 't', "TYPE", 0, "EC2 type that the tree stands for", 0},
    {"out", 'o', "DIR", 0, "new or empty directory to fill", 0},
    {"node", 'n', "NAME", 0, "node name, seeds UUIDs and serial numbers (default: node)", 0},
    {"settled", 's', NULL, 0, "with a site's services and RAID, too: not for nodes of a cluster",
     0},
    {"nvml", 'l', "FILE", 0, "fake libnvidia-ml.so.1 to put in", 0},
    {0},
};

/* The caller finishes the table in any case. Returns an exit code. */
static int find_type(struct dt_instances *table, const struct dt_instance **type,
                     const struct arguments *args, struct dt_error *err)
{
    *table = (struct dt_instances){0};
    if (strcmp(args->type, "host") == 0) {
        dt_error_set(err, "'host' means the machine as it is: there is no tree to make for it");
        return DT_EXIT_USAGE;
    }
    if (dt_instances_load_type(table, args->instances, args->type, err) != 0)
        return DT_EXIT_CONFIG;
    *type = dt_instances_find(table, args->type);
    if (*type)
        return DT_EXIT_OK;
    dt_error_set(err, "instance type '%s' is not in %s", args->type, args->instances);
    return DT_EXIT_USAGE;
}

static int run_tree(int argc, char **argv)
{
    static const struct argp argp = {
        tree_options,
        parse_tree,
        "",
        "Fill a directory with what a machine of an EC2 type shows in /sys, /proc and /opt.",
        NULL,
        NULL,
        NULL};
    struct arguments args = {.node = "node", .wants_out = true};
    argp_parse(&argp, argc, argv, 0, NULL, &args);
    const struct dt_instance *type = NULL;
    struct dt_instances table;
    struct dt_error err = {0};
    int code = find_type(&table, &type, &args, &err);
    if (code == DT_EXIT_OK &&
        (dt_personality_write(args.out, type, args.node, args.nvml, &err) != 0 ||
         (args.settled && dt_personality_settle(args.out, type, &err) != 0)))
        code = DT_EXIT_APPLY;
    dt_instances_fini(&table);
    return code == DT_EXIT_OK ? code : complain(&err, code);
}

/* ---- show ---- */

static int run_show(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"instances", 'i', "FILE", 0, "table of EC2 types (instances.conf)", 0},
        {"type", 't', "TYPE", 0, "EC2 type", 0},
        {0},
    };
    static const struct argp argp = {
        options, parse_tree,
        "",      "Print the numbers of an EC2 type, one \"option = value\" a line.",
        NULL,    NULL,
        NULL};
    static const char *const kinds[] = {"none", "nvidia", "neuron"};
    struct arguments args = {.node = ""};
    argp_parse(&argp, argc, argv, 0, NULL, &args);
    const struct dt_instance *type = NULL;
    struct dt_instances table;
    struct dt_error err = {0};
    int code = find_type(&table, &type, &args, &err);
    if (code == DT_EXIT_OK) {
        printf("vcpus = %d\ncores = %d\nthreads-per-core = %d\npackages = %d\nnuma-nodes = %d\n"
               "memory-mib = %lld\naccelerator = %s\naccelerators = %d\nefas = %d\n",
               type->vcpus, type->cores, type->threads_per_core, type->packages, type->numa_nodes,
               type->memory_mib, kinds[type->accelerator], type->accelerators, type->efas);
        if (fflush(stdout) != 0)
            code = DT_EXIT_REPORT;
    }
    dt_instances_fini(&table);
    return *err.text ? complain(&err, code) : code;
}

/* ---- fault ---- */

static error_t parse_fault(int key, char *arg, struct argp_state *state)
{
    struct arguments *args = state->input;
    switch (key) {
    case 'r':
        args->root = arg;
        return 0;
    case ARGP_KEY_ARGS:
        args->faults = state->argv + state->next;
        args->fault_count = state->argc - state->next;
        return 0;
    case ARGP_KEY_END:
        if (!args->root || args->fault_count == 0)
            argp_error(state, "--root and at least one fault are needed");
        return 0;
    default:
        (void)arg;
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option fault_options[] = {
    {"root", 'r', "DIR", 0, "tree to break, or / inside a node's own mounts", 0},
    {0},
};

static int run_fault(int argc, char **argv)
{
    static const struct argp argp = {
        fault_options, parse_fault,
        "FAULT...",    "Break a tree in place. `dt-personality faults` lists how.",
        NULL,          NULL,
        NULL};
    struct arguments args = {0};
    argp_parse(&argp, argc, argv, 0, NULL, &args);

    struct dt_error err = {0};
    for (int i = 0; i < args.fault_count; i++) {
        if (!dt_fault_find(args.faults[i])) {
            dt_error_set(&err, "there is no fault '%s'; `dt-personality faults` lists them",
                         args.faults[i]);
            return complain(&err, DT_EXIT_USAGE);
        }
    }
    for (int i = 0; i < args.fault_count; i++) {
        if (dt_fault_plant(args.root, dt_fault_find(args.faults[i]), &err) != 0)
            return complain(&err, DT_EXIT_APPLY);
    }
    return DT_EXIT_OK;
}

/* ---- faults ---- */

static int run_faults(int argc, char **argv)
{
    static const struct argp argp = {NULL, NULL, "",  "List the faults that can be planted.",
                                     NULL, NULL, NULL};
    argp_parse(&argp, argc, argv, 0, NULL, NULL);
    for (const struct dt_fault *fault = dt_faults; fault->name; fault++) {
        if (fault->variable) /* no tree can show it */
            continue;
        printf("%-22s %s (found by: %s)\n", fault->name, fault->does, fault->found_by);
    }
    return fflush(stdout) == 0 ? DT_EXIT_OK : DT_EXIT_REPORT;
}

static const struct command {
    const char *name, *summary;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"tree", "fill a directory that stands for a machine", run_tree},
    {"show", "print the numbers of a type", run_show},
    {"fault", "break such a tree in place", run_fault},
    {"faults", "list the faults", run_faults},
};

int main(int argc, char **argv)
{
    const size_t count = sizeof commands / sizeof *commands;
    for (size_t i = 0; argc > 1 && i < count; i++) {
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    }
    bool help = argc > 1 && strcmp(argv[1], "--help") == 0;
    FILE *to = help ? stdout : stderr;
    fprintf(to, "Usage: dt-personality COMMAND [OPTION...]\n");
    for (size_t i = 0; i < count; i++)
        fprintf(to, "  %-8s %s\n", commands[i].name, commands[i].summary);
    fprintf(to, "dt-personality COMMAND --help says more.\n");
    return help ? DT_EXIT_OK : DT_EXIT_USAGE;
}
