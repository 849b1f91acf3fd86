/* SPDX-License-Identifier: Apache-2.0 */
/* dt-validate: is this node fit? For a person, Slurm's Prolog and HealthCheckProgram, Nagios, cron.
 * Only for Slurm, and as dt.conf asks, it has the node drained (policy.c). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "base/exitcode.h"
#include "facts/probe.h"
#include "output.h"

/* Slurm kills its HealthCheckProgram after 60 s. Every probe has a deadline of its own: this is for
 * a kernel file that hangs this very process. */
enum { LAST_RESORT_S = 50 };

/* What dt itself can not do is no fault of the node. A Prolog must not drain a cluster because of a
 * typing error in dt.conf; Nagios knows no status above 3. */
static int complain(const struct options *o, const struct dt_error *err, int code)
{
    switch (o->caller) {
    case CALLER_NAGIOS:
        printf("DT UNKNOWN: %s\n", err->text);
        return 3;
    case CALLER_PROLOG:
    case CALLER_HEALTHCHECK:
        syslog(LOG_ERR, "not validated: %s", err->text);
        fprintf(stderr, "dt-validate: not validated: %s\n", err->text);
        return o->caller == CALLER_PROLOG ? 0 : code;
    default:
        fprintf(stderr, "dt-validate: %s\n", err->text);
        return code;
    }
}

/* The option's file stands in for dt.conf's. Who learns a profile is not held to an older one. */
static int use_profile(struct dt_inspection *in, const struct options *o, struct dt_error *err)
{
    if (!o->profile && !o->learn)
        return 0;
    free(in->conf.profile);
    in->conf.profile = strdup(o->profile ? o->profile : "");
    return in->conf.profile ? 0 : dt_error_set(err, "out of memory");
}

static int look(struct dt_inspection *in, const struct options *o, struct dt_error *err)
{
    char *cwd = getcwd(NULL, 0);
    gid_t groups[256];
    const char *gpus;
    int count = getgroups(256, groups);
    bool in_job = o->caller == CALLER_PERSON;
    bool here = in_job && !o->root; /* a tree has directories of its own */
    struct dt_facts_request request = {.uid = getuid(),
                                       .gid = getgid(),
                                       .groups = groups,
                                       .group_count = count > 0 ? (size_t)count : 0,
                                       .cwd = here ? cwd : NULL,
                                       .tmpdir = here ? getenv("TMPDIR") : NULL,
                                       .job = dt_facts_own_job(&gpus),
                                       .job_gpus = gpus,
                                       .nodes = getenv("SLURM_STEP_NODELIST"),
                                       .memlock = DT_LIMIT_OWN,
                                       .nofile = DT_LIMIT_OWN,
                                       .level = (int)o->level,
                                       .recorded = o->root != NULL};
    int code = dt_inspect_load(in, o->root, o->config, err) < 0 || use_profile(in, o, err) < 0
                   ? DT_EXIT_CONFIG
                   : dt_inspect_collect(in, &request, err);
    free(cwd);
    struct dt_check_context context = {
        .level = o->level, .choice = &o->choice, .outside_job = !in_job};
    if (code == 0 && dt_inspect_check(in, &context, err) < 0)
        code = DT_EXIT_CONFIG; /* a table */
    return code;
}

static int exit_for(const struct options *o, const struct outcome *outcome, bool drained)
{
    if (o->caller == CALLER_PROLOG) /* anything but 0 drains the node and requeues the job */
        return drained ? dt_inspect_exit_status(DT_FAIL) : 0;
    return dt_inspect_exit_status(outcome->verdict);
}

static int tell(const struct options *o, const struct outcome *outcome)
{
    struct dt_error err;
    int trouble = 0;
    bool for_slurm = o->caller == CALLER_PROLOG || o->caller == CALLER_HEALTHCHECK;
    bool drained = false;
    if (for_slurm)
        output_syslog(outcome);
    if (o->form != FORM_TEXT && output_form(outcome, o, &err) < 0)
        trouble = complain(o, &err, DT_EXIT_REPORT);
    if (o->form == FORM_TEXT || o->output) {
        if (o->caller == CALLER_NAGIOS)
            output_nagios(outcome);
        else if (o->caller != CALLER_PERSON)
            output_wrong(outcome);
        else if (o->form == FORM_TEXT)
            output_table(outcome, o->all);
    }
    if (for_slurm)
        drained = policy_drain(outcome, o);
    return trouble ? trouble : exit_for(o, outcome, drained);
}

static int run(const struct options *o)
{
    struct dt_inspection in = {.root = {.fd = -1}};
    struct dt_error err = {{0}};
    long long begin = dt_monotonic_us();
    int code = look(&in, o, &err);
    if (code != 0) {
        code = complain(o, &err, code);
    } else {
        struct outcome outcome = {.inspection = &in,
                                  .level = o->level,
                                  .verdict = dt_inspect_verdict(&in.checks),
                                  .us = dt_monotonic_us() - begin};
        code = o->learn ? learn(&outcome, o) : tell(o, &outcome);
    }
    dt_inspect_fini(&in);
    return code;
}

static int explain(const char *name)
{
    struct dt_error err;
    bool *chosen = NULL;
    const struct dt_check *check = dt_check_find(name);
    if (check) {
        output_explain(check);
        return 0;
    }
    dt_check_choose(&chosen, name, "--explain", &err);
    free(chosen);
    fprintf(stderr, "dt-validate: %s\n", err.text);
    return DT_EXIT_USAGE;
}

int main(int argc, char **argv)
{
    struct options options;
    int code = 0;
    options_parse(&options, argc, argv);
    openlog("dt-validate", LOG_PID, LOG_DAEMON);
    alarm(options.caller == CALLER_HEALTHCHECK || options.caller == CALLER_PROLOG ? LAST_RESORT_S
                                                                                  : 0);
    switch (options.task) {
    case TASK_LIST:
    case TASK_LIST_SCDOC:
        output_list(options.task == TASK_LIST_SCDOC);
        break;
    case TASK_EXPLAIN:
        code = explain(options.explain);
        break;
    case TASK_SELFTEST:
        code = selftest(&options);
        break;
    case TASK_SAVE_COUNTERS:
        save_counters(&options);
        break;
    default:
        code = run(&options);
        break;
    }
    dt_check_choice_fini(&options.choice);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "dt-validate: standard output can not be written\n");
        return options.caller == CALLER_PROLOG ? 0 : DT_EXIT_REPORT;
    }
    return code;
}
