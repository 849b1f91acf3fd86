/* SPDX-License-Identifier: Apache-2.0 */
/* Command line of dt-node, by argp. */
#include "options.h"

#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/exitcode.h"
#include "version.h"

const char *argp_program_version = "dt-node " DT_VERSION;

enum {
    KEY_PRINT = 256,
    KEY_PLAN,
    KEY_ROOT,
    KEY_CONFIG,
    KEY_LEVEL,
    KEY_JSON,
    KEY_RANKS,
    KEY_ALLOWED,
    KEY_EXPLAIN,
    KEY_MEMORY,
    KEY_GPUS,
    KEY_NIC,
    KEY_RESERVE,
    KEY_LOADERS,
    KEY_BINDING,
    KEY_STEP_END,
    KEY_FAILED
};

static const struct argp_option argp_options[] = {
    {"print", KEY_PRINT, NULL, 0,
     "Print this node's facts and checks; exit 0 pass, 1 warn, 2 fail, "
     "3 unknown",
     0},
    {"plan", KEY_PLAN, NULL, 0, "Print what the ranks of a job would get, and do nothing", 0},
    {"step-end", KEY_STEP_END, "JOB.STEP", 0,
     "Keep what this step leaves: counters of errors, and how it ended", 0},
    {"failed", KEY_FAILED, NULL, 0, "A task of that step has failed", 0},
    {"root", KEY_ROOT, "DIR", 0, "Look at the tree in DIR instead of this machine", 0},
    {"config", KEY_CONFIG, "FILE", 0, "Read this instead of the installed dt.conf", 0},
    {"level", KEY_LEVEL, "fast|full|deep", 0, "Level of the checks (default fast)", 0},
    {"json", KEY_JSON, NULL, 0, "Print JSON", 0},
    {"ranks", KEY_RANKS, "N", 0, "Ranks of the dry run (default 1)", 0},
    {"allowed", KEY_ALLOWED, "CPULIST", 0, "CPUs that they may use (default: as this process)", 0},
    {"memory", KEY_MEMORY, "POLICY", 0, "preferred, bind, interleave or local", 0},
    {"gpus", KEY_GPUS, "all|own|off", 0, "What a rank sees of the GPUs (default all)", 0},
    {"nic", KEY_NIC, "plan|narrow|off", 0, "Restrict libraries to NICs (default off)", 0},
    {"reserve", KEY_RESERVE, "N", 0, "Cores of each rank for communication threads", 0},
    {"loaders", KEY_LOADERS, "N", 0, "Cores of each rank for data loaders", 0},
    {"binding", KEY_BINDING, NULL, 0,
     "Only the lines of the binding, within the CPUs of this process whoever chose them (as "
     "dt-launch asks)",
     0},
    {"explain", KEY_EXPLAIN, NULL, 0, "Say why, as srun --dt-env=explain --dt-bind=explain does",
     0},
    {0},
};

static void set_mode(struct argp_state *state, enum mode mode)
{
    struct options *o = state->input;
    if (o->mode != MODE_SESSION && o->mode != mode)
        argp_error(state, "--print, --plan and --step-end are different things: give one");
    o->mode = mode;
}

static int take_number(struct argp_state *state, const char *name, const char *arg, long least,
                       long most)
{
    char *end;
    long n = strtol(arg, &end, 10);
    if (end == arg || *end || n < least || n > most)
        argp_error(state, "--%s '%s' is not a number from %ld to %ld", name, arg, least, most);
    return (int)n;
}

/* "1234.0" */
static void take_step(struct argp_state *state, const char *arg)
{
    struct options *o = state->input;
    char rest;
    if (sscanf(arg, "%lld.%lld%c", &o->job, &o->step, &rest) != 2 || o->job < 0 || o->step < 0)
        argp_error(state, "--step-end '%s' is no step like 1234.0", arg);
}

static const char *take_word(struct argp_state *state, const char *name, const char *arg,
                             const char *const *words)
{
    for (; *words; words++) {
        if (strcmp(*words, arg) == 0)
            return *words;
    }
    argp_error(state, "--%s does not know '%s'; see --help", name, arg);
    return NULL;
}

static void finish(struct argp_state *state)
{
    const struct options *o = state->input;
    bool planning = o->ranks || o->allowed || o->env || o->memory || o->gpus || o->nic ||
                    o->reserve || o->loaders || o->binding;
    if (o->mode != MODE_PLAN && planning)
        argp_error(state, "--ranks, --allowed, --memory, --gpus, --nic, --reserve, --loaders, "
                          "--binding and --explain go with --plan");
    if (o->mode != MODE_PRINT && o->json)
        argp_error(state, "--json goes with --print");
    if (o->mode != MODE_STEP_END && o->failed)
        argp_error(state, "--failed goes with --step-end");
    if (o->mode == MODE_SESSION && (o->root || isatty(STDIN_FILENO)))
        argp_error(state,
                   "without --print or --plan, dt-node is for Slurm's dt plugin, which talks "
                   "to it by pipes");
}

static const char *const policies[] = {"preferred", "bind", "interleave", "local", NULL};
static const char *const visible[] = {"all", "own", "off", NULL};
static const char *const nics[] = {"plan", "narrow", "off", NULL};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;
    switch (key) {
    case KEY_PRINT:
        set_mode(state, MODE_PRINT);
        break;
    case KEY_PLAN:
        set_mode(state, MODE_PLAN);
        break;
    case KEY_STEP_END:
        set_mode(state, MODE_STEP_END);
        take_step(state, arg);
        break;
    case KEY_FAILED:
        o->failed = true;
        break;
    case KEY_ROOT:
        o->root = arg;
        break;
    case KEY_CONFIG:
        o->config = arg;
        break;
    case KEY_LEVEL:
        if (dt_level_parse(arg, &o->level) < 0 || o->level == DT_LEVEL_OFF)
            argp_error(state, "--level '%s' is none of fast, full, deep", arg);
        break;
    case KEY_JSON:
        o->json = true;
        break;
    case KEY_RANKS:
        o->ranks = take_number(state, "ranks", arg, 1, 65536);
        break;
    case KEY_ALLOWED:
        o->allowed = arg;
        if (!*arg || strspn(arg, "0123456789,-") != strlen(arg))
            argp_error(state, "--allowed '%s' is no list of CPUs like 0-7,96-103", arg);
        break;
    case KEY_EXPLAIN:
        o->env = "explain";
        break;
    case KEY_MEMORY:
        o->memory = take_word(state, "memory", arg, policies);
        break;
    case KEY_GPUS:
        o->gpus = take_word(state, "gpus", arg, visible);
        break;
    case KEY_BINDING:
        o->binding = true;
        break;
    case KEY_NIC:
        o->nic = take_word(state, "nic", arg, nics);
        break;
    case KEY_RESERVE:
        o->reserve = take_number(state, "reserve", arg, 1, 4096);
        break;
    case KEY_LOADERS:
        o->loaders = take_number(state, "loaders", arg, 1, 4096);
        break;
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected argument '%s'", arg);
        break;
    case ARGP_KEY_END:
        finish(state);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

void options_parse(struct options *options, int argc, char **argv)
{
    static const struct argp argp = {argp_options,
                                     parse_option,
                                     NULL,
                                     "Look at one node: what it is, whether it is fit for a "
                                     "training job, and what its ranks should get.",
                                     NULL,
                                     NULL,
                                     NULL};
    *options = (struct options){.level = DT_LEVEL_FAST};
    argp_err_exit_status = DT_EXIT_USAGE;
    argp_parse(&argp, argc, argv, 0, NULL, options);
    if (!options->env)
        options->env = "auto";
    snprintf(options->bind, sizeof options->bind, "%s,%s,gpus=%s,reserve=%d,loaders=%d",
             options->env, options->memory ? options->memory : "preferred",
             options->gpus ? options->gpus : "all", options->reserve, options->loaders);
    if (!options->ranks)
        options->ranks = 1;
}
