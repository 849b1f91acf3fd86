/* SPDX-License-Identifier: Apache-2.0 */
/* Looking at one node: dt.conf, facts, instance table, checks, in the order in which they need each
 * other. What dt-node and dt-validate share. */
#ifndef DT_INSPECT_INSPECT_H
#define DT_INSPECT_INSPECT_H

#include "base/error.h"
#include "base/root.h"
#include "check/check.h"
#include "conf/conf.h"
#include "facts/facts.h"
#include "instances/instances.h"

struct dt_inspection {
    struct dt_root root;
    struct dt_conf conf;
    struct dt_facts facts;
    struct dt_instances instances;
    const struct dt_instance *instance; /* NULL: type unknown */
    struct dt_check_results checks;
};

/* Read dt.conf. root NULL: this machine. config NULL: the installed file, which may be absent. */
int dt_inspect_load(struct dt_inspection *inspection, const char *root, const char *config,
                    struct dt_error *err);
/* The facts, and this machine's section of the instance table. request->root and ->conf are filled
 * in here. Returns 0, or an exit status (enum dt_exit) and why. */
int dt_inspect_collect(struct dt_inspection *inspection, struct dt_facts_request *request,
                       struct dt_error *err);
/* context: what the checks are to know beside the facts; the rest is filled in here. */
int dt_inspect_check(struct dt_inspection *inspection, struct dt_check_context *context,
                     struct dt_error *err);
/* This machine's section of the table into `instances`; *instance stays NULL for a type that has
 * none, which is an error only where dt.conf names the type. */
int dt_inspect_find_instance(struct dt_instances *instances, const struct dt_instance **instance,
                             const struct dt_facts *facts, const struct dt_conf *conf,
                             struct dt_error *err);
/* dt_inspect_check for a caller who holds facts, instance, dt.conf and results himself: context has the
 * first three. Reads the tables that checks of the level need. */
int dt_inspect_run_checks(struct dt_check_results *results, struct dt_check_context *context,
                          struct dt_error *err);
void dt_inspect_fini(struct dt_inspection *inspection);

/* Path of a data file that is there. Caller frees; NULL: it is missing, or no memory. */
char *dt_inspect_table(const struct dt_conf *conf, const char *name, struct dt_error *err);

/* PASS, WARN, FAIL or UNKNOWN: the worst result, where SKIP counts as PASS; and the exit status that
 * stands for it: 0, 1, 2, 3. */
enum dt_result dt_inspect_verdict(const struct dt_check_results *checks);
int dt_inspect_exit_status(enum dt_result verdict);

#endif
