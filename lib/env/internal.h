/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of lib/env share: conditions, the world they are asked about, and rules. */
#ifndef DT_ENV_INTERNAL_H
#define DT_ENV_INTERNAL_H

#include <stdbool.h>

#include "base/buf.h"
#include "env/env.h"

enum dt_truth { DT_FALSE, DT_TRUE, DT_UNKNOWN };

/* What a condition can look at. */
struct dt_env_world {
    const struct dt_facts *facts;
    const struct dt_instance *instance; /* or NULL */
    char *const *user_env;
};

/* A value in a condition: all values are text; numbers and versions are recognised by their looks.
 */
struct dt_env_value {
    enum { DT_VALUE_UNKNOWN, DT_VALUE_UNSET, DT_VALUE_TEXT } kind;
    const char *text; /* TEXT only; borrowed, or points to `own` */
    char own[24];
};

/* A word of a condition: "1.18.0", a fact's name, or $NAME. */
struct dt_env_operand {
    enum { DT_OPERAND_TEXT, DT_OPERAND_FACT, DT_OPERAND_USER } kind;
    char *text;
};

bool dt_env_fact_exists(const char *name); /* can the rules ask for it? */
void dt_env_fact(const struct dt_env_world *world, const char *name, struct dt_env_value *value);
const char *dt_env_user(const struct dt_env_world *world, const char *name); /* NULL: not set */

struct dt_env_expr;
/* NULL: err says what is wrong, and where in the text. */
struct dt_env_expr *dt_env_expr_parse(const char *text, struct dt_error *err);
void dt_env_expr_destroy(struct dt_env_expr *expr);
enum dt_truth dt_env_expr_eval(const struct dt_env_expr *expr, const struct dt_env_world *world);

/* "${net.interface}" -> its text. 0: appended to out; -1: a fact is not known. */
int dt_env_template_expand(const char *text, const struct dt_env_world *world, struct dt_buf *out);
int dt_env_template_check(const char *text, struct dt_error *err);

struct dt_env_rule {
    char *name;
    struct dt_env_expr *when;
    enum { DT_UNKNOWN_SKIP, DT_UNKNOWN_APPLY, DT_UNKNOWN_WARN } unknown;
    enum dt_env_action action;
    char *variable, *value, *reason, *harm, *source;
};

struct dt_env_rules {
    struct dt_env_rule *items;
    size_t count;
};

char *dt_env_summary(const struct dt_env_plan *plan); /* NULL: no memory */

#endif
