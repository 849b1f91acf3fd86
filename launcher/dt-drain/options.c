/* SPDX-License-Identifier: Apache-2.0 */
/* Command line of dt-drain, by argp. */
#include "options.h"

#include <argp.h>
#include <stdlib.h>
#include <string.h>

#include "base/exitcode.h"
#include "policy/policy.h"
#include "version.h"

const char *argp_program_version = "dt-drain " DT_VERSION;

enum { KEY_REASON = 256, KEY_PREFIX, KEY_STATE, KEY_HYPERPOD, KEY_MAX, KEY_MINUTES, KEY_TRY };

static const struct argp_option argp_options[] = {
    {"reason", KEY_REASON, "TEXT", 0, "Why, for Slurm and whoever reads it", 0},
    {"prefix", KEY_PREFIX, "TEXT", 0, "Reasons that begin so are dt's own (default dt:)", 0},
    {"state", KEY_STATE, "DRAIN|FAIL", 0, "State to set (default DRAIN)", 0},
    {"hyperpod", KEY_HYPERPOD, NULL, 0, "Reasons \"Action:...\" count as dt's own, too", 0},
    {"max-nodes", KEY_MAX, "N", 0, "Drain no more nodes of the cluster than this (default 2) ...",
     0},
    {"in-minutes", KEY_MINUTES, "N", 0, "... within so many minutes (default 60)", 0},
    {"try", KEY_TRY, NULL, 0, "Only say what would be done", 0},
    {0},
};

static long parse_number(struct argp_state *state, const char *option, const char *text, long low,
                         long high)
{
    char *end;
    long value = strtol(text, &end, 10);
    if (end == text || *end || value < low || value > high)
        argp_error(state, "%s '%s' is not a number from %ld to %ld", option, text, low, high);
    return value;
}

static void check(struct argp_state *state, const struct options *o)
{
    if (!o->reason || !*o->reason || strlen(o->reason) > DT_REASON_MAX)
        argp_error(state, "--reason needs 1 to %d characters", DT_REASON_MAX);
    else if (strncmp(o->reason, o->prefix, strlen(o->prefix)) != 0 &&
             !(o->hyperpod && strncmp(o->reason, "Action:", 7) == 0))
        argp_error(state, "--reason must begin with the prefix '%s'", o->prefix);
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;
    switch (key) {
    case KEY_REASON:
        o->reason = arg;
        break;
    case KEY_PREFIX:
        if (strlen(arg) < 2)
            argp_error(state, "--prefix '%s' is too short to tell dt's reasons from others", arg);
        o->prefix = arg;
        break;
    case KEY_STATE:
        o->fail = strcmp(arg, "FAIL") == 0;
        if (!o->fail && strcmp(arg, "DRAIN") != 0)
            argp_error(state, "--state '%s' is neither DRAIN nor FAIL", arg);
        break;
    case KEY_HYPERPOD:
        o->hyperpod = true;
        break;
    case KEY_MAX:
        o->max = parse_number(state, "--max-nodes", arg, 0, 65536);
        break;
    case KEY_MINUTES:
        o->minutes = parse_number(state, "--in-minutes", arg, 1, 43200);
        break;
    case KEY_TRY:
        o->try_only = true;
        break;
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected argument '%s'", arg);
        break;
    case ARGP_KEY_END:
        check(state, o);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

void options_parse(struct options *options, int argc, char **argv)
{
    static const struct argp argp = {
        argp_options,
        parse_option,
        NULL,
        "Drain this node in Slurm, unless that would be one too many. Exit status: 0 it is drained "
        "by dt, 2 the limit is reached, 3 the node is somebody else's matter; 64 and up: trouble "
        "of dt-drain's own.",
        NULL,
        NULL,
        NULL};
    *options = (struct options){.prefix = "dt:", .max = 2, .minutes = 60};
    argp_err_exit_status = DT_EXIT_USAGE;
    argp_parse(&argp, argc, argv, 0, NULL, options);
}
