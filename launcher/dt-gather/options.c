/* SPDX-License-Identifier: Apache-2.0 */
/* Command line of dt-gather, by argp. --settings gives what srun resolved; an option given by
 * itself wins over it. */
#include "options.h"

#include <argp.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/exitcode.h"
#include "version.h"

const char *argp_program_version = "dt-gather " DT_VERSION;

enum {
    KEY_NODES = 256,
    KEY_COMPONENTS,
    KEY_NODELIST,
    KEY_SETTINGS,
    KEY_PORTS,
    KEY_REPORT,
    KEY_TIMEOUT,
    KEY_CONFIG,
    KEY_ON_FAIL,
    KEY_LEVEL,
    KEY_JOB
};

static const struct argp_option argp_options[] = {
    {"nodes", KEY_NODES, "N", 0, "Nodes that will report", 0},
    {"components", KEY_COMPONENTS, "H", 0, "Components of a heterogeneous job", 0},
    {"nodelist", KEY_NODELIST, "LIST", 0, "Their names, in the order of node ids", 0},
    {"settings", KEY_SETTINGS, "TEXT", 0, "Settings as in SLURM_DT_SETTINGS", 0},
    {"ports", KEY_PORTS, "LOW-HIGH", 0, "Listen on a port of this range (default: any)", 0},
    {"report", KEY_REPORT, "FILE", 0, "Write the JSON report there", 0},
    {"timeout", KEY_TIMEOUT, "SECONDS", 0, "Wait so long for all reports (default 10)", 0},
    {"config", KEY_CONFIG, "FILE", 0, "Read this instead of the installed dt.conf", 0},
    {"on-fail", KEY_ON_FAIL, "abort|warn", 0, "What an unfit node does to the job", 0},
    {"level", KEY_LEVEL, "fast|full|deep", 0, "Level of the checks", 0},
    {"job", KEY_JOB, "JOB.STEP", 0, "Name of the step", 0},
    {0},
};

struct parse {
    struct options *options;
    char *settings;
    bool has_timeout, has_components, has_on_fail, has_level;
};

static void copy(char **to, const char *text)
{
    free(*to);
    *to = strdup(text);
}

static bool parse_count(const char *text, int high, int *value)
{
    char *end;
    long n = strtol(text, &end, 10);
    if (end == text || *end || n < 1 || n > high)
        return false;
    *value = (int)n;
    return true;
}

static bool parse_ports(const char *text, struct options *o)
{
    char *end;
    long low = strtol(text, &end, 10);
    if (end == text || *end != '-')
        return false;
    const char *second = end + 1;
    long high = strtol(second, &end, 10);
    if (end == second || *end || low < 1 || high > 65535 || low > high)
        return false;
    o->port_low = (int)low;
    o->port_high = (int)high;
    return true;
}

static bool parse_seconds(const char *text, double *seconds)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !isfinite(value) || value <= 0 || value > 86400)
        return false;
    *seconds = value;
    return true;
}

static bool parse_on_fail(const char *text, bool *warn_only)
{
    *warn_only = strcmp(text, "warn") == 0;
    return *warn_only || strcmp(text, "abort") == 0;
}

/* Words of SLURM_DT_SETTINGS. env= and bind= are for the nodes alone. */
static void apply_settings(struct argp_state *state, struct parse *p)
{
    char *rest = p->settings, *word = strsep(&rest, " ");
    if (strcmp(word, "1") != 0)
        argp_error(state, "--settings must begin with '1', not '%s'", word);
    while ((word = strsep(&rest, " "))) {
        char *value = strchr(word, '=');
        if (!value) {
            argp_error(state, "--settings: '%s' is not NAME=VALUE", word);
            return;
        }
        *value++ = '\0';
        bool good = true;
        if (strcmp(word, "validate") == 0 && !p->has_level)
            good = dt_level_parse(value, &p->options->level) == 0;
        else if (strcmp(word, "on-fail") == 0 && !p->has_on_fail)
            good = parse_on_fail(value, &p->options->warn_only);
        else if (strcmp(word, "timeout") == 0)
            good = parse_seconds(value, &p->options->settle_s);
        if (!good)
            argp_error(state, "--settings: %s='%s' has a bad value", word, value);
    }
}

static void finish(struct argp_state *state, struct parse *p)
{
    if (p->settings)
        apply_settings(state, p);
    if (!p->has_timeout && p->options->settle_s > 0)
        p->options->timeout_s = p->options->settle_s;
    if (p->options->settle_s <= 0)
        p->options->settle_s = p->options->timeout_s;
    if (!p->has_components && p->options->nodes == 0)
        argp_error(state, "--nodes is missing: how many nodes will report?");
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    struct parse *p = state->input;
    struct options *o = p->options;
    switch (key) {
    case KEY_NODES:
        if (!parse_count(arg, 65536, &o->nodes))
            argp_error(state, "--nodes '%s' is not a number from 1 to 65536", arg);
        break;
    case KEY_COMPONENTS:
        p->has_components = true;
        if (!parse_count(arg, 1024, &o->components))
            argp_error(state, "--components '%s' is not a number from 1 to 1024", arg);
        break;
    case KEY_NODELIST:
        copy(&o->nodelist, arg);
        break;
    case KEY_SETTINGS:
        copy(&p->settings, arg);
        break;
    case KEY_PORTS:
        if (!parse_ports(arg, o))
            argp_error(state, "--ports '%s' is not LOW-HIGH within 1-65535", arg);
        break;
    case KEY_REPORT:
        copy(&o->report, arg);
        break;
    case KEY_TIMEOUT:
        p->has_timeout = true;
        if (!parse_seconds(arg, &o->timeout_s))
            argp_error(state, "--timeout '%s' is not a number of seconds above 0, at most 86400",
                       arg);
        break;
    case KEY_CONFIG:
        copy(&o->config, arg);
        break;
    case KEY_ON_FAIL:
        p->has_on_fail = true;
        if (!parse_on_fail(arg, &o->warn_only))
            argp_error(state, "--on-fail '%s' is neither abort nor warn", arg);
        break;
    case KEY_LEVEL:
        p->has_level = true;
        if (dt_level_parse(arg, &o->level) < 0)
            argp_error(state, "--level '%s' is none of fast, full, deep", arg);
        break;
    case KEY_JOB:
        copy(&o->job, arg);
        break;
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected argument '%s'", arg);
        break;
    case ARGP_KEY_END:
        finish(state, p);
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
        "Gather the nodes' reports, compare, decide. Started by srun's dt plugin, with a pipe as "
        "standard input: at its end dt-gather exits.",
        NULL,
        NULL,
        NULL};
    *options = (struct options){.components = 1, .timeout_s = 10, .level = DT_LEVEL_FAST};
    struct parse parse = {.options = options};
    argp_err_exit_status = DT_EXIT_USAGE;
    argp_parse(&argp, argc, argv, 0, NULL, &parse);
    free(parse.settings);
}

void options_fini(struct options *options)
{
    free(options->nodelist);
    free(options->report);
    free(options->config);
    free(options->job);
}
