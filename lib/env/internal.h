/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of lib/env share: names, conditions, the world they are asked about, and rules. */
#ifndef DT_ENV_INTERNAL_H
#define DT_ENV_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "env/env.h"

/* ---- names.c: every variable that a rule speaks of has a number -------------------------------- */

struct dt_env_names {
    char **items;
    size_t count, room;
    uint16_t *slots; /* hash table of index + 1 */
    size_t slot_count;
};
#define DT_ENV_NO_NAME UINT16_MAX

/* Number of the name, which is added when it is new. DT_ENV_NO_NAME: no memory, or too many. */
uint16_t dt_env_names_add(struct dt_env_names *names, const char *name, size_t len);
uint16_t dt_env_names_find(const struct dt_env_names *names, const char *name, size_t len);
void dt_env_names_fini(struct dt_env_names *names);

/* ---- world.c: what a condition can look at ----------------------------------------------------- */

enum dt_truth { DT_FALSE, DT_TRUE, DT_UNKNOWN };

/* A value in a condition: all values are text; numbers and versions are recognised by their looks.
 */
struct dt_env_value {
    enum { DT_VALUE_NOT_ASKED, DT_VALUE_UNKNOWN, DT_VALUE_UNSET, DT_VALUE_TEXT } kind;
    const char *text; /* TEXT only; borrowed, or points to `own` */
    char own[24];
};

#define DT_ENV_FACT_COUNT 56

struct dt_env_world {
    const struct dt_facts *facts;
    const struct dt_instance *instance; /* or NULL */
    char *const *user_env;
    const struct dt_env_names *names; /* borrowed from the rules; or NULL */
    const char **users;               /* value of each name; NULL: not set */
    const char *self;                 /* $_: value of the variable that the rule is about */
    struct dt_env_value answers[DT_ENV_FACT_COUNT];
};

int dt_env_world_init(struct dt_env_world *world, const struct dt_env_names *names,
                      const struct dt_facts *facts, const struct dt_instance *instance,
                      char *const *user_env);
void dt_env_world_fini(struct dt_env_world *world);

int dt_env_fact_index(const char *name, size_t len); /* -1: rules can not ask for it */
const char *dt_env_fact_name(size_t index);          /* NULL behind the last one */
const char *dt_env_fact_label(int index);            /* "the version of NCCL" */
/* Looked up once a world. */
const struct dt_env_value *dt_env_fact(struct dt_env_world *world, int index);
const char *dt_env_user(const struct dt_env_world *world, const char *name); /* NULL: not set */

enum dt_truth dt_env_path_missing(const struct dt_env_world *world, const char *text);

/* "${net.interface}" -> its text. 0: appended to out; -1: a fact is not known. */
int dt_env_template_expand(const char *text, struct dt_env_world *world, struct dt_buf *out);
int dt_env_template_check(const char *text, struct dt_error *err);

/* ---- expr.c, eval.c: conditions ---------------------------------------------------------------- */

struct dt_env_operand {
    enum { DT_OPERAND_TEXT, DT_OPERAND_FACT, DT_OPERAND_USER, DT_OPERAND_SELF } kind;
    int index;  /* FACT: in world.c; USER: number of the name */
    char *text; /* TEXT: owned */
};

enum dt_env_op {
    DT_OP_OR,
    DT_OP_AND,
    DT_OP_NOT,
    DT_OP_EQ,
    DT_OP_NE,
    DT_OP_LT,
    DT_OP_LE,
    DT_OP_GT,
    DT_OP_GE,
    DT_OP_LIKE,
    DT_OP_TRUTH,
    DT_OP_YES,
    DT_OP_NO,
    DT_OP_MISSING
};

struct dt_env_node {
    enum dt_env_op op;
    uint16_t left, right;       /* OR, AND, NOT */
    struct dt_env_operand a, b; /* the others */
};

struct dt_env_expr {
    struct dt_env_node *nodes;
    size_t count, room;
    uint16_t root;
    bool uses_self;
};

/* names: where the variables of the condition are entered. NULL: err says what is wrong, and where
 * in the text; *at, when wanted, is the offset of that place. */
struct dt_env_expr *dt_env_expr_parse(const char *text, struct dt_env_names *names, size_t *at,
                                      struct dt_error *err);
void dt_env_expr_destroy(struct dt_env_expr *expr);
enum dt_truth dt_env_expr_eval(const struct dt_env_expr *expr, struct dt_env_world *world);
/* After an evaluation that came out unknown: what was asked for and is not known, "the instance type
 * and the version of NCCL are not known". Caller frees; NULL: no memory. */
char *dt_env_expr_doubt(const struct dt_env_expr *expr, const struct dt_env_world *world);

/* ---- rules ------------------------------------------------------------------------------------- */

/* In place of a variable: what is installed on the node, whatever the user has. */
#define DT_ENV_NODE "(node)"

/* What a rule is about: one name, or a family "NCCL_IB_*", or DT_ENV_NODE. */
struct dt_env_subject {
    const char *name;
    uint16_t index; /* of names; DT_ENV_NO_NAME: a family, or the node */
    size_t prefix;  /* family: length without the star */
};

struct dt_env_rule {
    const char *name;
    int line;
    bool site;
    const char *condition; /* as written, blanks made single */
    struct dt_env_expr *when;
    enum { DT_UNKNOWN_SKIP, DT_UNKNOWN_APPLY, DT_UNKNOWN_WARN } unknown;
    enum dt_env_action action;
    bool off; /* admin's word: a shipped rule of this name is not wanted */
    enum dt_env_severity severity;
    struct dt_env_subject *subjects;
    size_t subject_count;
    const char *value, *reason, *harm, *fix, *source;
};

struct dt_env_rules {
    struct dt_env_rule *items; /* the admin's first */
    size_t count;
    struct dt_env_names names;
    char **texts; /* of the files; the rules' words point into them */
    size_t text_count;
};

/* parse.c. text is taken over, success or not. Rules are appended to `rules`; on failure rules are
 * as they were. */
int dt_env_rules_parse(struct dt_env_rules *rules, const char *file, char *text, bool site,
                       struct dt_error *err);

/* rules.c: in two steps, for a caller that wants the text, too. The text of a file, under dt's trust
 * rules, or NULL; and rules of it: a new set, or the admin's own added to *rules. text is taken over. */
char *dt_env_rules_text(const char *path, size_t *len, struct dt_error *err);
int dt_env_rules_take(struct dt_env_rules **rules, const char *path, char *text, bool site,
                      struct dt_error *err);

/* syntax.c: `rule "NAME" { option = value ... }`, words cut out of the text in place. */
struct dt_env_syntax {
    const char *file;
    char *p;
    int line;
    char held;     /* byte that the last word's NUL stands on; '\0': none */
    char *held_at; /* where */
};
struct dt_env_option {
    char *key, *value;
    int key_line, value_line;
};
/* 1: a rule begins, its name in *name; 0: end of the file; -1 err. */
int dt_env_syntax_rule(struct dt_env_syntax *in, char **name, struct dt_error *err);
/* 1: an option; 0: the rule's closing brace; -1 err. */
int dt_env_syntax_option(struct dt_env_syntax *in, struct dt_env_option *option,
                         struct dt_error *err);

/* ---- judging ----------------------------------------------------------------------------------- */

/* A rule that holds for a variable. */
struct dt_env_hit {
    const struct dt_env_rule *rule;
    char *variable;
    char *value; /* SET, FORCE: dt's; else the user's; owned, printable */
    char *user;  /* what the user has, owned, printable; NULL: nothing */
    char *doubt; /* why it is not certain that the rule holds; NULL: it is */
    enum dt_env_action action;
};

struct dt_env_hits {
    struct dt_env_hit *items; /* in the order of the rules */
    size_t count;
};

/* judge.c. -1: no memory. */
int dt_env_judge(struct dt_env_hits *hits, const struct dt_env_rules *rules,
                 struct dt_env_world *world);
void dt_env_hits_fini(struct dt_env_hits *hits);
enum dt_env_severity dt_env_hit_severity(const struct dt_env_hit *hit);
/* Why, what happens otherwise (harm, or ""), and the doubt, where there is one. */
char *dt_env_hit_reason(const struct dt_env_hit *hit, const char *harm);
char *dt_env_hit_fix(const struct dt_env_hit *hit);
char *dt_env_printable(const char *text);

char *dt_env_summary(const struct dt_env_plan *plan); /* NULL: no memory */

/* Edits (insert, delete, replace, swap neighbours) between two words; letters' case is one edit
 * altogether. More than `most`: most + 1. */
size_t dt_env_distance(const char *a, const char *b, size_t most);

#endif
