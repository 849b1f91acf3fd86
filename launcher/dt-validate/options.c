/* SPDX-License-Identifier: Apache-2.0 */
/* Command line of dt-validate, by argp. */
#include "options.h"

#include <argp.h>
#include <stdlib.h>

#include "base/exitcode.h"
#include "version.h"

const char *argp_program_version = "dt-validate " DT_VERSION;

enum {
    KEY_JSON = 256,
    KEY_JUNIT,
    KEY_PROMETHEUS,
    KEY_OUTPUT,
    KEY_ALL,
    KEY_ROOT,
    KEY_CONFIG,
    KEY_PROFILE,
    KEY_LEARN,
    KEY_LEARN_ANYWAY,
    KEY_LEVEL,
    KEY_ONLY,
    KEY_SKIP,
    KEY_LIST,
    KEY_SCDOC,
    KEY_EXPLAIN,
    KEY_SELFTEST,
    KEY_PROLOG,
    KEY_HEALTHCHECK,
    KEY_NAGIOS,
    KEY_CRON,
    KEY_SAVE_COUNTERS
};

static const struct argp_option argp_options[] = {
    {"level", KEY_LEVEL, "fast|full|deep", 0, "How much is looked at (default fast)", 0},
    {"only", KEY_ONLY, "CHECK,...", 0, "Run these checks alone, whatever their level", 0},
    {"skip", KEY_SKIP, "CHECK,...", 0, "Leave these checks out", 0},
    {"all", KEY_ALL, NULL, 0, "Show the checks that pass, too", 0},
    {"json", KEY_JSON, NULL, 0, "Print one JSON object", 0},
    {"junit", KEY_JUNIT, NULL, 0, "Print JUnit's XML", 0},
    {"prometheus", KEY_PROMETHEUS, NULL, 0, "Print Prometheus' text format", 0},
    {"output", KEY_OUTPUT, "FILE", 0, "Replace FILE, whole or not at all, instead of printing", 0},
    {"root", KEY_ROOT, "DIR", 0, "Look at the tree in DIR instead of this machine", 0},
    {"config", KEY_CONFIG, "FILE", 0, "Read this instead of the installed dt.conf", 0},
    {"profile", KEY_PROFILE, "FILE", 0, "Hold the node to this profile instead of dt.conf's", 0},
    {"learn", KEY_LEARN, "FILE", 0, "Write a profile of this node, if it passes", 1},
    {"learn-anyway", KEY_LEARN_ANYWAY, NULL, 0, "Write it though the node does not pass", 1},
    {"list", KEY_LIST, NULL, 0, "List the checks", 1},
    {"list-scdoc", KEY_SCDOC, NULL, OPTION_HIDDEN, NULL, 1},
    {"explain", KEY_EXPLAIN, "CHECK", 0, "Say what a check looks at and what to do", 1},
    {"selftest", KEY_SELFTEST, NULL, 0, "Plant every fault in made-up machines: is it found?", 1},
    {"prolog", KEY_PROLOG, NULL, 0,
     "Run as Slurm's Prolog: exit 2 only when dt.conf has it drained", 2},
    {"healthcheck", KEY_HEALTHCHECK, NULL, 0,
     "Run as Slurm's HealthCheckProgram: tell syslog, drain as dt.conf asks", 2},
    {"nagios", KEY_NAGIOS, NULL, 0, "Print one line as a Nagios plugin does", 2},
    {"cron", KEY_CRON, NULL, 0, "Print only what is wrong", 2},
    {"save-counters", KEY_SAVE_COUNTERS, NULL, 0,
     "Run in Slurm's Epilog, where there is no plugin: keep the counters of errors for the next "
     "validation; exits 0",
     2},
    {0},
};

static void set_caller(struct argp_state *state, enum caller caller)
{
    struct options *o = state->input;
    if (o->caller != CALLER_PERSON && o->caller != caller)
        argp_error(state, "--prolog, --healthcheck, --nagios and --cron exclude each other");
    o->caller = caller;
}

static void set_form(struct argp_state *state, enum form form)
{
    struct options *o = state->input;
    if (o->form != FORM_TEXT && o->form != form)
        argp_error(state, "--json, --junit and --prometheus exclude each other");
    o->form = form;
}

static void choose(struct argp_state *state, bool **chosen, const char *names, const char *option)
{
    struct dt_error err;
    if (dt_check_choose(chosen, names, option, &err) < 0)
        argp_error(state, "%s", err.text);
}

/* What a check needs must be read, though its level was not asked for. */
static void raise_level(struct options *o)
{
    for (size_t i = 0; o->choice.only && dt_checks[i].name; i++) {
        if (o->choice.only[i] && dt_checks[i].level > o->level)
            o->level = dt_checks[i].level;
    }
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;
    switch (key) {
    case KEY_LEVEL:
        if (dt_level_parse(arg, &o->level) < 0 || o->level == DT_LEVEL_OFF)
            argp_error(state, "--level '%s' is none of fast, full, deep", arg);
        break;
    case KEY_ONLY:
        choose(state, &o->choice.only, arg, "--only");
        break;
    case KEY_SKIP:
        choose(state, &o->choice.skip, arg, "--skip");
        break;
    case KEY_ALL:
        o->all = true;
        break;
    case KEY_JSON:
        set_form(state, FORM_JSON);
        break;
    case KEY_JUNIT:
        set_form(state, FORM_JUNIT);
        break;
    case KEY_PROMETHEUS:
        set_form(state, FORM_PROMETHEUS);
        break;
    case KEY_OUTPUT:
        o->output = arg;
        break;
    case KEY_ROOT:
        o->root = arg;
        break;
    case KEY_CONFIG:
        o->config = arg;
        break;
    case KEY_PROFILE:
        o->profile = arg;
        break;
    case KEY_LEARN:
        o->learn = arg;
        break;
    case KEY_LEARN_ANYWAY:
        o->learn_anyway = true;
        break;
    case KEY_LIST:
        o->task = TASK_LIST;
        break;
    case KEY_SCDOC:
        o->task = TASK_LIST_SCDOC;
        break;
    case KEY_EXPLAIN:
        o->task = TASK_EXPLAIN;
        o->explain = arg;
        break;
    case KEY_SELFTEST:
        o->task = TASK_SELFTEST;
        break;
    case KEY_PROLOG:
        set_caller(state, CALLER_PROLOG);
        break;
    case KEY_HEALTHCHECK:
        set_caller(state, CALLER_HEALTHCHECK);
        break;
    case KEY_NAGIOS:
        set_caller(state, CALLER_NAGIOS);
        break;
    case KEY_CRON:
        set_caller(state, CALLER_CRON);
        break;
    case KEY_SAVE_COUNTERS:
        o->task = TASK_SAVE_COUNTERS;
        break;
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected argument '%s'", arg);
        break;
    case ARGP_KEY_END:
        if (o->form != FORM_TEXT && o->caller == CALLER_NAGIOS)
            argp_error(state,
                       "--nagios prints one line: --json, --junit and --prometheus do not go "
                       "with it");
        if (o->output && o->form == FORM_TEXT)
            argp_error(state, "--output needs --json, --junit or --prometheus");
        if (o->learn && (o->task != TASK_RUN || o->caller != CALLER_PERSON || o->profile ||
                         o->form != FORM_TEXT || o->choice.only || o->choice.skip))
            argp_error(state, "--learn goes with --level, --root and --config only");
        if (o->learn_anyway && !o->learn)
            argp_error(state, "--learn-anyway needs --learn FILE");
        if (o->task == TASK_SELFTEST &&
            (o->caller != CALLER_PERSON || o->root || o->profile || o->choice.only ||
             o->choice.skip || o->output || o->form > FORM_JSON || o->level != DT_LEVEL_FAST))
            argp_error(state, "--selftest goes with --all, --json and --config only");
        raise_level(o);
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
                                     "Is this node fit for a training job? Exit status: 0 it "
                                     "passes, 1 there is a warning, 2 it fails, 3 something could "
                                     "not be known; 64 and up: trouble of dt-validate's own.",
                                     NULL,
                                     NULL,
                                     NULL};
    *options = (struct options){.level = DT_LEVEL_FAST};
    argp_err_exit_status = DT_EXIT_USAGE;
    argp_parse(&argp, argc, argv, 0, NULL, options);
}
