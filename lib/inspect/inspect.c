/* SPDX-License-Identifier: Apache-2.0 */
/* Calling the parts of lib/ in order. */
#include "inspect/inspect.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/exitcode.h"
#include "facts/overlay.h"
#include "history/history.h"
#include "paths.h"

int dt_inspect_load(struct dt_inspection *in, const char *root, const char *config,
                    struct dt_error *err)
{
    *in = (struct dt_inspection){.root = {.fd = -1}};
    if (dt_root_init(&in->root, root, err) < 0)
        return -1;
    return dt_conf_load(&in->conf, config ? config : DT_SYSCONFDIR "/dt.conf", config != NULL, err);
}

void dt_inspect_fini(struct dt_inspection *in)
{
    dt_check_results_fini(&in->checks);
    dt_facts_fini(&in->facts);
    dt_instances_fini(&in->instances);
    dt_conf_fini(&in->conf);
    dt_root_fini(&in->root);
}

char *dt_inspect_table(const struct dt_conf *conf, const char *name, struct dt_error *err)
{
    char *path;
    if (asprintf(&path, "%s/%s", conf->data_directory, name) < 0) {
        dt_error_set(err, "out of memory");
        return NULL;
    }
    if (access(path, F_OK) == 0 || errno != ENOENT)
        return path;
    dt_error_set(err,
                 "%s is missing: install dt's data files there, or set data-directory in %s to "
                 "where they are",
                 path, conf->path ? conf->path : "dt.conf");
    free(path);
    return NULL;
}

/* Only this machine's section: the whole table costs more than all the facts. */
int dt_inspect_find_instance(struct dt_instances *instances, const struct dt_instance **instance,
                             const struct dt_facts *facts, const struct dt_conf *conf,
                             struct dt_error *err)
{
    const char *type;
    *instance = NULL;
    if (!dt_facts_string(facts, "instance.type", &type))
        return 0;
    char *path = dt_inspect_table(conf, "instances.conf", err);
    int rc = path ? dt_instances_load_type(instances, path, type, err) : -1;
    free(path);
    if (rc < 0)
        return -1;
    *instance = dt_instances_find(instances, type);
    /* What the admin has written himself is a slip; a type that EC2 has added since is none. */
    if (!*instance && *conf->instance_type)
        return dt_error_set(
            err,
            "%s: instance-type \"%s\" is not described in %s/instances.conf: correct "
            "it, or describe the type there",
            conf->path, type, conf->data_directory);
    return 0;
}

int dt_inspect_collect(struct dt_inspection *in, struct dt_facts_request *request,
                       struct dt_error *err)
{
    request->root = &in->root;
    request->conf = &in->conf;
    if (dt_facts_collect(&in->facts, request, err) < 0)
        return DT_EXIT_HELPER;
    if (dt_history_facts(&in->facts, &in->root, &in->conf, err) < 0)
        return DT_EXIT_HELPER;
    if (dt_facts_overlay(&in->facts, &in->root, err) < 0 ||
        dt_inspect_find_instance(&in->instances, &in->instance, &in->facts, &in->conf, err) < 0)
        return DT_EXIT_CONFIG;
    return 0;
}

/* The tables that checks of this level need. */
static int load_tables(struct dt_xids *xids, struct dt_growth_limits *growth,
                       struct dt_profile *profile, const struct dt_check_context *context,
                       struct dt_error *err)
{
    char *path = dt_inspect_table(context->conf, "counters.conf", err);
    int rc = path ? dt_growth_limits_load(growth, path, err) : -1;
    free(path);
    if (rc == 0 && *context->conf->profile)
        rc = dt_profile_load(profile, context->conf->profile, err);
    if (rc < 0 || context->level < DT_LEVEL_FULL)
        return rc;
    path = dt_inspect_table(context->conf, "xid.conf", err);
    rc = path ? dt_xids_load(xids, path, err) : -1;
    free(path);
    return rc;
}

int dt_inspect_run_checks(struct dt_check_results *results, struct dt_check_context *context,
                          struct dt_error *err)
{
    struct dt_xids xids = {0};
    struct dt_growth_limits growth = {0};
    struct dt_profile profile = {0};
    int rc = load_tables(&xids, &growth, &profile, context, err);
    context->xids = context->level >= DT_LEVEL_FULL ? &xids : NULL;
    context->growth = &growth;
    context->profile = profile.count ? &profile : NULL;
    if (rc == 0)
        rc = dt_check_run(results, context, err);
    context->xids = NULL;
    context->growth = NULL;
    context->profile = NULL;
    dt_xids_fini(&xids);
    dt_growth_limits_fini(&growth);
    dt_profile_fini(&profile);
    return rc;
}

int dt_inspect_check(struct dt_inspection *in, struct dt_check_context *context,
                     struct dt_error *err)
{
    context->facts = &in->facts;
    context->instance = in->instance;
    context->conf = &in->conf;
    return dt_inspect_run_checks(&in->checks, context, err);
}

enum dt_result dt_inspect_verdict(const struct dt_check_results *checks)
{
    enum dt_result worst = dt_check_worst(checks);
    return worst == DT_SKIP ? DT_PASS : worst;
}

int dt_inspect_exit_status(enum dt_result verdict)
{
    switch (verdict) {
    case DT_WARN:
        return 1;
    case DT_FAIL:
        return 2;
    case DT_UNKNOWN:
        return 3;
    default:
        return 0;
    }
}
