/* SPDX-License-Identifier: Apache-2.0 */
/* What is to be said of the user's variables: the findings, each with the setting it is about, and
 * in what words. */
#ifndef DT_ENV_VERDICT_H
#define DT_ENV_VERDICT_H

#include "user.h"

struct remark {
    const struct dt_env_finding *finding;
    const struct user_setting *setting; /* NULL: the user has no such variable */
    char *message;                      /* with the origin and what it hangs on */
    bool quiet; /* fine, and nothing is to be said but that a component reads it */
};

struct verdict {
    struct remark *items; /* gravest first */
    size_t count;
    enum dt_env_severity worst;
    struct dt_env_findings *runs; /* own the findings */
    size_t run_count;
};

int verdict_make(struct verdict *verdict, const struct subject *subject, const struct user *user,
                 struct dt_error *err);
void verdict_fini(struct verdict *verdict);

/* As people and JSON are told it: abort, slow, no effect, fine. */
const char *severity_word(enum dt_env_severity severity);

/* {"findings":[{"variable","value","severity","rule","message","source"}]} on standard output. */
int verdict_json(const struct verdict *verdict, struct dt_error *err);
/* For people: aligned, as wide as the terminal. */
int verdict_table(const struct verdict *verdict, const struct subject *subject,
                  const struct user *user, struct dt_error *err);

#endif
