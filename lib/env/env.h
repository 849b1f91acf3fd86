/* SPDX-License-Identifier: Apache-2.0 */
/* The right EFA, NCCL, libfabric and Neuron variables: rules from configs/env-rules.conf applied to
 * facts and to what the user has set. The user's own value is never overwritten.
 *
 * Conditions are three-valued: a comparison with a fact that is not known is unknown, and each rule
 * says what it does then. configs/env-rules.conf describes the language at its head. */
#ifndef DT_ENV_ENV_H
#define DT_ENV_ENV_H

#include <stddef.h>

#include "base/error.h"
#include "facts/facts.h"
#include "instances/instances.h"

enum dt_env_action { DT_ENV_SET, DT_ENV_KEEP, DT_ENV_WARN, DT_ENV_REFUSE };

struct dt_env_item {
    char *variable;
    char *value; /* SET: what dt sets; else what the user has */
    enum dt_env_action action;
    char *rule;   /* name of the rule */
    char *reason; /* one sentence */
    char *harm;   /* what happens otherwise; "" when the rule does not say */
    char *source;
};

struct dt_env_plan {
    struct dt_env_item
        *items; /* in the order of the rules; a variable has one action, the gravest */
    size_t count;
    char
        *summary; /* one line: "env: 2 set (FI_PROVIDER=efa ...), 1 kept (NCCL_DEBUG), 1 warning" */
};

struct dt_env_rules; /* parsed rules file */

/* All or nothing: one wrong rule and none is loaded; err then has "FILE:LINE: rule: what". */
int dt_env_rules_load(struct dt_env_rules **rules, const char *path, struct dt_error *err);
void dt_env_rules_destroy(struct dt_env_rules *rules);

/* user_env: NAME=VALUE strings, NULL-terminated: the environment the rank would have. */
int dt_env_plan(struct dt_env_plan *plan, const struct dt_env_rules *rules,
                const struct dt_facts *facts, const struct dt_instance *instance,
                char *const *user_env, struct dt_error *err);
void dt_env_plan_fini(struct dt_env_plan *plan);
char *dt_env_explain(const struct dt_env_plan *plan); /* table; caller frees */

/* Dotted versions: "1.22.0amzn4.0" > "1.22.0" > "1.22.0rc1" > "1.9" = "v1.9.0-aws". <0, 0, >0.
 * A vendor's suffix makes a version newer, rc/alpha/beta/dev/pre and "~" make it older; a leading
 * "v", trailing ".0" and the "-aws" that aws-ofi-nccl carried for a while mean nothing. NULL reads
 * as "". */
int dt_version_compare(const char *a, const char *b);

#endif
