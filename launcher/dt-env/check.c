/* SPDX-License-Identifier: Apache-2.0 */
/* dt-env check and dt-env explain: the same look, with and without an exit status that judges. */
#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/exitcode.h"
#include "dt-env.h"
#include "verdict.h"

enum { KEY_JSON = 256 };

struct check_options {
    struct subject_options subject;
    const char *script;
    bool json;
};

static const struct argp_option check_table[] = {
    {"json", KEY_JSON, NULL, 0, "Print the findings as JSON", 0},
    {0},
};

static error_t parse_check(int key, char *arg, struct argp_state *state)
{
    struct check_options *o = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &o->subject;
        return 0;
    case KEY_JSON:
        o->json = true;
        return 0;
    case ARGP_KEY_ARG:
        if (o->script)
            argp_error(state, "one job script at a time: '%s' is one too many", arg);
        o->script = arg;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child check_children[] = {{&subject_argp, 0, NULL, 0}, {0}};

static const struct argp check_argp = {
    check_table,
    parse_check,
    "[FILE.sbatch]",
    "Tell which EFA, libfabric, NCCL, Neuron and CPU training variables do harm, do nothing, or "
    "are "
    "fine, and what dt sets, each with why and the source.\v"
    "Without FILE the variables of the present environment and of NCCL's configuration files are "
    "looked at; with FILE those that the job script would give to its programs. It is never "
    "run.\n\n"
    "Exit status of check: 0 clean, 1 something slow or without effect, 2 the program would die or "
    "corrupt data, 64 and above: dt-env's own trouble.",
    check_children,
    NULL,
    NULL};

static const struct argp explain_argp = {check_table,
                                         parse_check,
                                         "[FILE.sbatch]",
                                         "Tell what dt would do with the environment, variable by "
                                         "variable, and why: what 'dt-env check' "
                                         "says, with an exit status of 0 whatever is found.",
                                         check_children,
                                         NULL,
                                         NULL};

static int show(const struct check_options *o, const struct subject *subject,
                const struct user *user, int *code, struct dt_error *err)
{
    static const int codes[] = {
        [DT_ENV_FINE] = 0, [DT_ENV_NO_EFFECT] = 1, [DT_ENV_SLOW] = 1, [DT_ENV_ABORT] = 2};
    struct verdict verdict;
    int rc = verdict_make(&verdict, subject, user, err);
    if (rc == 0)
        rc = o->json ? verdict_json(&verdict, err) : verdict_table(&verdict, subject, user, err);
    if (rc == 0)
        *code = codes[verdict.worst];
    verdict_fini(&verdict);
    return rc;
}

/* What the user has, and what a job with it would load. */
static int gather(const struct check_options *o, struct subject *subject, struct user *user,
                  struct dt_error *err)
{
    int code = 0;
    if (o->script) {
        if (user_from_script(user, o->script, err) < 0)
            return DT_EXIT_USAGE;
        code = subject_script_versions(subject, &o->subject, user, environ, err);
    } else {
        code = subject_versions(subject, &o->subject, environ, err);
        if (code == 0 && user_from_environ(user, environ, subject, err) < 0)
            code = DT_EXIT_HELPER;
    }
    return code ? code : subject_files(subject, user, err);
}

static int run(const struct argp *argp, int argc, char **argv, bool judge)
{
    struct check_options options = {0};
    struct subject subject;
    struct user user = {0};
    struct dt_error err;
    int code;
    argp_parse(argp, argc, argv, 0, NULL, &options);
    code = subject_load(&subject, &options.subject, &err);
    if (code == 0)
        code = gather(&options, &subject, &user, &err);
    if (code) {
        fprintf(stderr, "dt-env: %s\n", err.text);
    } else if (show(&options, &subject, &user, &code, &err) < 0) {
        fprintf(stderr, "dt-env: %s\n", err.text);
        code = DT_EXIT_HELPER;
    } else {
        code = command_finish(judge ? code : 0);
    }
    user_fini(&user);
    subject_fini(&subject);
    return code;
}

int command_check(int argc, char **argv)
{
    return run(&check_argp, argc, argv, true);
}

int command_explain(int argc, char **argv)
{
    return run(&explain_argp, argc, argv, false);
}
