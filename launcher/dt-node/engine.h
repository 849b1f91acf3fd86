/* SPDX-License-Identifier: Apache-2.0 */
/* The judges of lib/ in the order in which a node needs them: data files, facts, checks,
 * environment. Both ways of running dt-node (for the plugin, for a person) go through here. */
#ifndef DT_NODE_ENGINE_H
#define DT_NODE_ENGINE_H

#include <stdbool.h>

#include "base/error.h"
#include "base/root.h"
#include "check/check.h"
#include "conf/conf.h"
#include "env/env.h"
#include "facts/facts.h"
#include "instances/instances.h"
#include "nccl/nccl.h"
#include "topology/topology.h"

struct engine {
    const char *config; /* borrowed; NULL: the installed one */
    struct dt_root root;
    struct dt_conf conf;
    struct dt_instances instances;
    bool with_env;                 /* false: environment is off */
    struct dt_env_rules *rules;    /* NULL: not loaded */
    struct dt_error rules_warning; /* mistake in a rules file; "": none */
    struct dt_nccl_settings nccl;  /* what NCCL's own files set */
    char *const *job_env;          /* borrowed */
    struct dt_nccl_asked nccl_asked;
    struct dt_facts_question question; /* of NCCL's files, and then of versions */
    char **user_env;                   /* the job's variables, and those of NCCL's files */
    struct dt_facts facts;
    const struct dt_instance *instance; /* NULL: type unknown */
    struct dt_check_results checks;
    struct dt_env_plan env;
    char *env_origin; /* of the first refused variable; NULL: nothing is refused */
};

/* Read dt.conf. config NULL: the installed file, which may be absent. with_env: the environment will
 * be judged. */
int engine_load(struct engine *engine, const char *root, const char *config, bool with_env,
                struct dt_error *err);
void engine_fini(struct engine *engine);

/* Read the facts; and for the environment the rules, and what NCCL's files add to the variables that
 * the job has (variables, or NULL). request->root, ->conf and ->question are filled in here. Returns 0,
 * or an exit status and why. */
int engine_collect(struct engine *engine, struct dt_facts_request *request, char *const *variables,
                   struct dt_error *err);

/* Environment plan, where the environment is judged. */
int engine_plan_env(struct engine *engine, struct dt_error *err);
/* Where a variable of the job was set, in words; and every variable of interest, as a table. Caller
 * frees; NULL: no memory. */
char *engine_origin(const struct engine *engine, const char *variable);
char *engine_explain_env(const struct engine *engine);

/* Checks of this level. When rules are loaded, engine_plan_env comes first. */
int engine_check(struct engine *engine, enum dt_level level, struct dt_error *err);

/* The node for the binder, with the admin's override of where devices hang. An override that is not
 * used leaves its reason in err, and 0 is returned. */
int engine_topology(struct engine *engine, struct dt_topology *topology, struct dt_error *err);

/* engine_env.c. _user_env: from the answer to the question that was put by _ask_env. */
int engine_load_rules(struct engine *engine, struct dt_error *err);
void engine_ask_env(struct engine *engine, const struct dt_facts_request *request,
                    char *const *variables);
int engine_user_env(struct engine *engine, struct dt_error *err);
const char *engine_job_value(const struct engine *engine, const char *name); /* NULL: not set */
char *engine_table(const struct engine *engine, const char *name, struct dt_error *err);

/* engine_versions.c: copies of libraries that the job's own environment leads to. _ask: the second half
 * of the question, in the child; _take: their versions into the facts. */
void engine_versions_ask(int out, const struct engine *engine);
bool engine_versions_begun(const struct engine *engine);
int engine_versions_take(struct engine *engine, struct dt_error *err);

#endif
