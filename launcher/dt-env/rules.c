/* SPDX-License-Identifier: Apache-2.0 */
/* dt-env rules: the rules in words. docs/env-rules.md and the section RULES of dt-env(1) are made by
 * this, so that they say what the rules file says. */
#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/exitcode.h"
#include "conf/conf.h"
#include "dt-env.h"
#include "env/env.h"
#include "paths.h"

enum { KEY_FORMAT = 256, KEY_CONFIG };

struct rules_options {
    const char *config, *file;
    bool scdoc;
};

static const struct argp_option rules_table[] = {
    {"format", KEY_FORMAT, "markdown|scdoc", 0, "What to print (default markdown)", 0},
    {"config", KEY_CONFIG, "FILE", 0, "Read this instead of the installed dt.conf", 0},
    {0},
};

static error_t parse_rules(int key, char *arg, struct argp_state *state)
{
    struct rules_options *o = state->input;
    switch (key) {
    case KEY_FORMAT:
        o->scdoc = strcmp(arg, "scdoc") == 0;
        if (!o->scdoc && strcmp(arg, "markdown") != 0)
            argp_error(state, "no format '%s'; there are markdown and scdoc", arg);
        return 0;
    case KEY_CONFIG:
        o->config = arg;
        return 0;
    case ARGP_KEY_ARG:
        if (o->file)
            argp_error(state, "one rules file at a time: '%s' is one too many", arg);
        o->file = arg;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp rules_argp = {
    rules_table,
    parse_rules,
    "[RULES]",
    "Print all rules in words: those of the file RULES, or of the installed env-rules.conf and the "
    "admin's own. A file with a mistake in it is refused with its line: a way to try one.",
    NULL,
    NULL,
    NULL};

static int load(struct dt_env_rules **rules, const struct rules_options *o, struct dt_error *err)
{
    struct dt_conf conf;
    char *path = NULL;
    int rc;
    if (o->file)
        return dt_env_rules_load(rules, o->file, err);
    if (dt_conf_load(&conf, o->config ? o->config : DT_SYSCONFDIR "/dt.conf", o->config != NULL,
                     err) < 0)
        return -1;
    if (asprintf(&path, "%s/env-rules.conf", conf.data_directory) < 0)
        path = NULL;
    rc = path ? dt_env_rules_load(rules, path, err) : dt_error_set(err, "out of memory");
    if (rc == 0 && *conf.env_rules_site)
        rc = dt_env_rules_add_site(*rules, conf.env_rules_site, err);
    free(path);
    dt_conf_fini(&conf);
    return rc;
}

int command_rules(int argc, char **argv)
{
    struct rules_options options = {0};
    struct dt_env_rules *rules = NULL;
    struct dt_error err;
    char *text = NULL;
    int code = DT_EXIT_CONFIG;
    argp_parse(&rules_argp, argc, argv, 0, NULL, &options);
    if (load(&rules, &options, &err) < 0) {
        fprintf(stderr, "dt-env: %s\n", err.text);
    } else if (!(text = dt_env_rules_document(rules, options.scdoc))) {
        fprintf(stderr, "dt-env: out of memory\n");
        code = DT_EXIT_HELPER;
    } else {
        fputs(text, stdout);
        code = command_finish(0);
    }
    free(text);
    dt_env_rules_destroy(rules);
    return code;
}
