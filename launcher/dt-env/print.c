/* SPDX-License-Identifier: Apache-2.0 */
/* dt-env print: the variables that should be set, as a profile to keep or for a program to use. */
#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/exitcode.h"
#include "dt-env.h"
#include "format.h"
#include "user.h"
#include "with.h"

enum { KEY_FORMAT = 256, KEY_LOCAL_RANK };

struct print_options {
    struct subject_options subject;
    const struct format *format;
    long local_rank; /* -1: what holds for all ranks */
};

static const struct argp_option print_table[] = {
    {"format", KEY_FORMAT, "shell|json|dockerfile|sbatch|container-env|shell0", 0,
     "What to print (default shell)", 0},
    {"local-rank", KEY_LOCAL_RANK, "N", 0,
     "Also what rules give to this rank of the node alone (default: what all ranks get)", 0},
    {0},
};

static const struct format *format_find(const char *word, struct argp_state *state)
{
    const char *names[16] = {0}, *near;
    for (size_t i = 0; formats[i].name; i++) {
        if (strcmp(formats[i].name, word) == 0)
            return &formats[i];
        names[i] = formats[i].name;
    }
    near = nearest_word(word, names);
    if (near)
        argp_error(state, "no format '%s'; did you mean '%s'?", word, near);
    else
        argp_error(state,
                   "no format '%s'; there are shell, json, dockerfile, sbatch, "
                   "container-env and shell0",
                   word);
    return NULL;
}

static error_t parse_print(int key, char *arg, struct argp_state *state)
{
    struct print_options *o = state->input;
    char *end;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &o->subject;
        return 0;
    case KEY_FORMAT:
        o->format = format_find(arg, state);
        return 0;
    case KEY_LOCAL_RANK:
        o->local_rank = strtol(arg, &end, 10);
        if (end == arg || *end || o->local_rank < 0 || o->local_rank > 65535)
            argp_error(state, "--local-rank '%s' is not a number from 0 to 65535", arg);
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected word '%s'", arg);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child print_children[] = {{&subject_argp, 0, NULL, 0}, {0}};

static const struct argp print_argp = {
    print_table,
    parse_print,
    NULL,
    "Print the variables that should be set.\v"
    "With --as the answer is the profile of that instance type, and the present environment is not "
    "looked at. Without it, what the environment and NCCL's configuration files have already is "
    "left "
    "out, and warnings about it go to standard error.\n\n"
    "shell: lines for a shell to read. sbatch: the same, yielding to values that the job has. "
    "dockerfile: ENV lines. json: with rule, reason and source of each. container-env: names for "
    "pyxis' --container-env, so that the image's values do not win. shell0: NAME=VALUE or (to take "
    "away) NAME, each ended by a NUL byte, for programs.",
    print_children,
    NULL,
    NULL};

static void warn_of(const struct dt_env_plan *plan, const struct user *user)
{
    for (size_t i = 0; i < plan->count; i++) {
        const struct dt_env_item *item = &plan->items[i];
        const struct user_setting *setting = user_find(user, item->variable);
        if (item->action != DT_ENV_WARN && item->action != DT_ENV_REFUSE)
            continue;
        fprintf(stderr, "dt-env: warning: %s=%s%s%s: %s%s%s\n", item->variable, item->value,
                setting && *setting->origin ? ", from " : "",
                setting && *setting->origin ? setting->origin : "", item->reason,
                *item->harm ? ": " : "", item->harm);
    }
}

static int print(const struct print_options *o, const struct subject *subject,
                 const struct user *user, struct dt_error *err)
{
    struct dt_env_plan plan = {0};
    struct dt_buf out = DT_BUF_INIT;
    char **environment = user_environment(user, NULL);
    int rc = environment ? dt_env_plan(&plan, subject->rules, &subject->facts, subject->instance,
                                       environment, err)
                         : dt_error_set(err, "out of memory");
    if (environment)
        dt_names_free(environment);
    if (rc < 0)
        return -1;
    warn_of(&plan, user);
    o->format->write(&out, &plan, subject);
    if (out.failed)
        rc = dt_error_set(err, "out of memory");
    else if (out.len)
        fwrite(out.data, 1, out.len, stdout);
    dt_buf_fini(&out);
    dt_env_plan_fini(&plan);
    return rc;
}

int command_print(int argc, char **argv)
{
    struct print_options options = {.format = &formats[0], .local_rank = -1};
    struct subject subject;
    struct user user = {0};
    struct dt_error err;
    int code;
    argp_parse(&print_argp, argc, argv, 0, NULL, &options);
    code = subject_load(&subject, &options.subject, &err);
    if (code == 0)
        code = subject_versions(&subject, &options.subject, environ, &err);
    if (code == 0 && options.local_rank >= 0 &&
        dt_facts_set_int(&subject.facts, "rank.local", options.local_rank) < 0)
        code = dt_error_set(&err, "out of memory") ? DT_EXIT_HELPER : 0;
    if (code == 0 && !subject.stated && user_from_environ(&user, environ, &subject, &err) < 0)
        code = DT_EXIT_HELPER;
    if (code == 0)
        code = subject_files(&subject, &user, &err);
    if (code == 0 && print(&options, &subject, &user, &err) < 0)
        code = DT_EXIT_HELPER;
    if (code)
        fprintf(stderr, "dt-env: %s\n", err.text);
    else
        code = command_finish(0);
    user_fini(&user);
    subject_fini(&subject);
    return code;
}
