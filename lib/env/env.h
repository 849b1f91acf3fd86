/* SPDX-License-Identifier: Apache-2.0 */
/* The right EFA, NCCL, libfabric, Neuron and CPU training variables: rules from
 * configs/env-rules.conf, and an admin's own, applied to facts and to what the user has set.
 *
 * Two questions are answered: what shall a rank's environment be (dt_env_plan), and what is to be
 * said about an environment (dt_env_check). The user's own value is never overwritten, except by a
 * rule of the admin's own file.
 *
 * Conditions are three-valued: a comparison with a fact that is not known is unknown, and each rule
 * says what it does then. configs/env-rules.conf describes the language at its head. */
#ifndef DT_ENV_ENV_H
#define DT_ENV_ENV_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/error.h"
#include "facts/facts.h"
#include "instances/instances.h"

enum dt_env_action {
    DT_ENV_SET,   /* rule word "set-if-unset": the user has none, dt gives the variable a value */
    DT_ENV_FORCE, /* rule word "set", admin's file only: over whatever the user has */
    DT_ENV_UNSET, /* admin's file only: taken away from what the user has */
    DT_ENV_KEEP,  /* the user's value is left alone */
    DT_ENV_WARN,  /* left alone, and the user is told that it does harm */
    DT_ENV_REFUSE /* the program would die or corrupt data */
};

enum dt_env_severity {
    DT_ENV_FINE,
    DT_ENV_NO_EFFECT, /* nothing reads it, or it says what holds anyway */
    DT_ENV_SLOW,
    DT_ENV_ABORT /* the program will die, hang or corrupt data */
};

/* "set-if-unset", "set", "unset", "keep", "warn", "refuse"; "fine", "no-effect", "slow", "abort" */
const char *dt_env_action_name(enum dt_env_action action);
const char *dt_env_severity_name(enum dt_env_severity severity);

/* ---- rules ----------------------------------------------------------------------------------- */

struct dt_env_rules; /* parsed rules file */

/* All or nothing: one wrong rule and none is loaded; err then has "FILE:LINE: rule "NAME": what, at
 * which word, what was expected". 2 ms at most. */
int dt_env_rules_load(struct dt_env_rules **rules, const char *path, struct dt_error *err);

/* Put the admin's own rules in front: they are asked first, one of a name that is there already
 * takes its place, and only they can have the actions set, unset and off. On failure the rules stay
 * as they were. */
int dt_env_rules_add_site(struct dt_env_rules *rules, const char *path, struct dt_error *err);

/* What a job's launch uses: both files, and never a job lost to a mistake in one. keep_directory
 * ("" or NULL: none) holds a copy of the last files that were right; a wrong file is answered from
 * there, else without its rules, and warning->text says so ("" when all is well). -1 only without
 * memory. site_path "" or NULL: there is none. */
int dt_env_rules_load_kept(struct dt_env_rules **rules, const char *path, const char *site_path,
                           const char *keep_directory, struct dt_error *warning,
                           struct dt_error *err);
void dt_env_rules_destroy(struct dt_env_rules *rules);

/* Does any rule look at this fact ("rank.local"), in its condition or for its value? */
bool dt_env_rules_use(const struct dt_env_rules *rules, const char *fact);

/* ---- what shall be: injection ---------------------------------------------------------------- */

struct dt_env_item {
    char *variable;
    char *value; /* SET, FORCE: what dt sets; else what the user has */
    enum dt_env_action action;
    enum dt_env_severity severity; /* of what the user has; FINE for SET, FORCE, UNSET, KEEP */
    char *rule;                    /* name of the rule */
    char *reason;                  /* one sentence */
    char *harm;                    /* what happens otherwise; "" when the rule does not say */
    char *fix;                     /* WARN, REFUSE: what to do, "unset NAME"; else "" */
    char *source;
};

struct dt_env_plan {
    /* in the order of the rules; a variable has one action, the gravest (but several warnings) */
    struct dt_env_item *items;
    size_t count;
    /* one line: "env: 2 set (FI_PROVIDER=efa ...), 1 kept (NCCL_DEBUG), 1 warning (NCCL_PROTO)" */
    char *summary;
};

/* user_env: NAME=VALUE strings, NULL-terminated: the environment the rank would have. Facts whose
 * name begins with "rank." (world.c lists them) are those of one rank: a caller that sets them gets
 * that rank's plan, one that does not gets what holds for all ranks of the node. */
int dt_env_plan(struct dt_env_plan *plan, const struct dt_env_rules *rules,
                const struct dt_facts *facts, const struct dt_instance *instance,
                char *const *user_env, struct dt_error *err);
void dt_env_plan_fini(struct dt_env_plan *plan);
char *dt_env_explain(const struct dt_env_plan *plan); /* table; caller frees */

/* ---- what is to be said: the doctor ---------------------------------------------------------- */

/* Names that some component reads, from configs/env-variables.conf. */
struct dt_env_variables;
struct dt_env_variable {
    const char *name;      /* or a family, "OMPI_MCA_*" */
    const char *component; /* "libfabric", "nccl" ... */
    const char *since;     /* first version that reads it; "" not known, or all */
    const char *until;     /* last version that reads it; "" still does */
};

int dt_env_variables_load(struct dt_env_variables **variables, const char *path,
                          struct dt_error *err);
void dt_env_variables_destroy(struct dt_env_variables *variables);
/* Both borrowed from the table. NULL: no component reads such a name; nothing comes near it. */
const struct dt_env_variable *dt_env_variables_find(const struct dt_env_variables *variables,
                                                    const char *name);
const struct dt_env_variable *dt_env_variables_nearest(const struct dt_env_variables *variables,
                                                       const char *name);

struct dt_env_finding {
    char *variable; /* "(node)": what is installed, not a variable */
    char *value;    /* the user's, control characters made '?'; NULL: the user has none */
    char *rule;     /* name of the rule; "" when only the table of names speaks */
    char *message;  /* why, and the harm */
    char *source;
    char *fix; /* what to do; "" nothing */
    enum dt_env_severity severity;
    enum dt_env_action action;
    char *set_to; /* SET, FORCE: the value that dt gives; else NULL */
};

struct dt_env_findings {
    struct dt_env_finding *items; /* gravest first, then by name */
    size_t count;
    enum dt_env_severity worst;
};

/* In a user_env: the variable is set, but to what is not known (a job script's $(command)). What
 * depends on the value is then unknown. */
#define DT_ENV_VALUE_UNKNOWN "\001not known"

/* variables NULL: only what the rules know is judged. Variables that are nobody's business (PATH,
 * HOME, SLURM_* ...) give no finding. */
int dt_env_check(struct dt_env_findings *findings, const struct dt_env_rules *rules,
                 const struct dt_env_variables *variables, const struct dt_facts *facts,
                 const struct dt_instance *instance, char *const *user_env, struct dt_error *err);
void dt_env_findings_fini(struct dt_env_findings *findings);

/* ---- helpers --------------------------------------------------------------------------------- */

/* Does NCCL take this interface for this NCCL_SOCKET_IFNAME? Its own rules (src/misc/socket.cc): a
 * list of prefixes; '^' in front excludes, '=' wants whole names; ":port" is stepped over. */
bool dt_env_nccl_selects(const char *spec, const char *interface);

/* docs/env-rules.md, or with scdoc true the body of the section RULES of a man page. Caller frees;
 * NULL: no memory. */
char *dt_env_rules_document(const struct dt_env_rules *rules, bool scdoc);

/* Dotted versions: "1.22.0amzn4.0" > "1.22.0" > "1.22.0rc1" > "1.9" = "v1.9.0-aws". <0, 0, >0.
 * A vendor's suffix makes a version newer, rc/alpha/beta/dev/pre and "~" make it older; a leading
 * "v", trailing ".0" and the "-aws" that aws-ofi-nccl carried for a while mean nothing. NULL reads
 * as "". */
int dt_version_compare(const char *a, const char *b);

#endif
