/* SPDX-License-Identifier: Apache-2.0 */
/* What the commands talk about: this machine, a tree that stands for one, or an instance type that
 * was named; with the versions that were stated put in place of those found. And the tables by
 * which it is judged. */
#ifndef DT_ENV_SUBJECT_H
#define DT_ENV_SUBJECT_H

#include <argp.h>

#include "conf/conf.h"
#include "env/env.h"
#include "facts/facts.h"
#include "instances/instances.h"

/* Options that check, print and explain share; strings point into argv. */
struct subject_options {
    const char *as, *with, *root, *config;
};
extern const struct argp subject_argp; /* a child parser; its input is a struct subject_options */

struct subject {
    struct dt_root root;
    struct dt_conf conf;
    struct dt_instances instances;
    struct dt_env_rules *rules;
    struct dt_env_variables *variables;
    struct dt_facts facts;
    const struct dt_instance *instance; /* NULL: not known */
    bool stated;                        /* --as: nothing of this machine was looked at */
};

/* All return 0, or the exit status (64: a wrong word, 78: a wrong file) with a message in err. */
int subject_load(struct subject *subject, const struct subject_options *options,
                 struct dt_error *err);

/* Then, in loads.c, the versions that a job with this environment will load (of a stated type there
 * are none), and those of --with over them. For a job script: its values over the present ones. */
struct user;
int subject_versions(struct subject *subject, const struct subject_options *options,
                     char *const *env, struct dt_error *err);
int subject_script_versions(struct subject *subject, const struct subject_options *options,
                            const struct user *user, char *const *present, struct dt_error *err);
/* And which of the files that the user's variables name are not there: fact files.missing. */
int subject_files(struct subject *subject, const struct user *user, struct dt_error *err);

void subject_fini(struct subject *subject);

/* How facts are asked for, as the calling user. cwd: of getcwd(3), or NULL. */
struct dt_facts_request subject_request(const struct subject *subject, char *cwd);

/* "p5.48xlarge, libfabric 1.22.0, aws-ofi-nccl 1.13.0; not known: NCCL, kernel". Caller frees. */
char *subject_describe(const struct subject *subject);

#endif
