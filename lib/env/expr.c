/* SPDX-License-Identifier: Apache-2.0 */
/* Conditions: `accelerator == nvidia && lib.libfabric < 1.18.0 && !yes($FI_EFA_USE_HUGE_PAGE)`.
 * Parsed once into a small tree, evaluated in three-valued logic. */
#include <ctype.h>
#include <fnmatch.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "env/internal.h"

#define NODES_MAX 256
#define DEPTH_MAX 32

enum op {
    OP_OR,
    OP_AND,
    OP_NOT,
    OP_EQ,
    OP_NE,
    OP_LT,
    OP_LE,
    OP_GT,
    OP_GE,
    OP_LIKE,
    OP_TRUTH,
    OP_YES,
    OP_NO
};

struct node {
    enum op op;
    uint16_t left, right;       /* OR, AND, NOT */
    struct dt_env_operand a, b; /* the others */
};

struct dt_env_expr {
    struct node *nodes;
    size_t count, room;
    uint16_t root;
};

struct parser {
    struct dt_env_expr *expr;
    const char *text, *p;
    int depth;
    struct dt_error *err;
};

static int wrong(struct parser *in, const char *expected)
{
    if (*in->p)
        return dt_error_set(in->err, "condition, at '%.20s' (column %d): %s", in->p,
                            (int)(in->p - in->text) + 1, expected);
    return dt_error_set(in->err, "condition, at its end: %s", expected);
}

static void skip_blanks(struct parser *in)
{
    while (isspace((unsigned char)*in->p))
        in->p++;
}

static bool accept(struct parser *in, const char *token)
{
    skip_blanks(in);
    if (strncmp(in->p, token, strlen(token)) != 0)
        return false;
    in->p += strlen(token);
    return true;
}

static struct node *new_node(struct parser *in, enum op op, uint16_t *index)
{
    struct dt_env_expr *expr = in->expr;

    if (expr->count == NODES_MAX) {
        wrong(in, "too many terms; split the rule");
        return NULL;
    }
    if (expr->count == expr->room) {
        struct node *grown = realloc(expr->nodes, (expr->room + 16) * sizeof(*grown));
        if (!grown) {
            dt_error_set(in->err, "no memory left for a condition");
            return NULL;
        }
        expr->nodes = grown;
        expr->room += 16;
    }
    *index = (uint16_t)expr->count;
    expr->nodes[expr->count] = (struct node){.op = op};
    return &expr->nodes[expr->count++];
}

static bool word_char(char c)
{
    return isalnum((unsigned char)c) || (c && strchr("_.+-", c));
}

static int take_text(struct parser *in, struct dt_env_operand *operand, const char *start,
                     size_t len)
{
    operand->text = strndup(start, len);
    return operand->text ? 0 : dt_error_set(in->err, "no memory left for a condition");
}

static int parse_quoted(struct parser *in, struct dt_env_operand *operand)
{
    const char *end = strchr(in->p + 1, '"');

    if (!end)
        return wrong(in, "the closing quote is missing");
    operand->kind = DT_OPERAND_TEXT;
    if (take_text(in, operand, in->p + 1, (size_t)(end - in->p - 1)))
        return -1;
    in->p = end + 1;
    return 0;
}

static int parse_operand(struct parser *in, struct dt_env_operand *operand, bool left)
{
    const char *start;
    bool user;

    skip_blanks(in);
    if (*in->p == '"' && !left)
        return parse_quoted(in, operand);
    user = *in->p == '$';
    start = in->p + user;
    while (word_char(in->p[user]))
        in->p++;
    in->p += user;
    if (in->p <= start) {
        in->p = start - user;
        return wrong(in, "expected a fact, a $VARIABLE or a value");
    }
    if (take_text(in, operand, start, (size_t)(in->p - start)))
        return -1;
    operand->kind = user                                ? DT_OPERAND_USER
                    : dt_env_fact_exists(operand->text) ? DT_OPERAND_FACT
                                                        : DT_OPERAND_TEXT;
    if (left && operand->kind == DT_OPERAND_TEXT) {
        in->p = start;
        return wrong(in, "there is no fact of this name");
    }
    /* A dotted word that is no version is a fact misspelt, not a value. */
    if (operand->kind == DT_OPERAND_TEXT && isalpha((unsigned char)*operand->text) &&
        strchr(operand->text, '.') && !isdigit((unsigned char)operand->text[1])) {
        in->p = start;
        return wrong(in, "there is no fact of this name; put a value with dots into quotes");
    }
    return 0;
}

static int parse_or(struct parser *in, uint16_t *index);

static int parse_function(struct parser *in, enum op op, uint16_t *index)
{
    struct node *node = new_node(in, op, index);

    if (!node || parse_operand(in, &node->a, true))
        return -1;
    return accept(in, ")") ? 0 : wrong(in, "expected ')'");
}

static int parse_comparison(struct parser *in, uint16_t *index)
{
    static const struct {
        const char *token;
        enum op op;
    } tokens[] = {{"==", OP_EQ}, {"!=", OP_NE}, {"<=", OP_LE}, {">=", OP_GE},
                  {"<", OP_LT},  {">", OP_GT},  {"~", OP_LIKE}};
    struct node *node = new_node(in, OP_TRUTH, index);

    if (!node || parse_operand(in, &node->a, true))
        return -1;
    for (size_t i = 0; i < sizeof(tokens) / sizeof(tokens[0]); i++) {
        if (!accept(in, tokens[i].token))
            continue;
        node->op = tokens[i].op;
        return parse_operand(in, &node->b, false);
    }
    return 0;
}

static int parse_primary(struct parser *in, uint16_t *index)
{
    if (accept(in, "yes("))
        return parse_function(in, OP_YES, index);
    if (accept(in, "no("))
        return parse_function(in, OP_NO, index);
    if (!accept(in, "("))
        return parse_comparison(in, index);
    if (parse_or(in, index))
        return -1;
    return accept(in, ")") ? 0 : wrong(in, "expected ')'");
}

static int parse_not(struct parser *in, uint16_t *index)
{
    struct node *node;
    uint16_t inner = 0;
    int rc;

    if (++in->depth > DEPTH_MAX)
        return wrong(in, "nested too deeply");
    if (accept(in, "!")) {
        rc = parse_not(in, &inner);
        if (rc == 0 && (node = new_node(in, OP_NOT, index)))
            node->left = inner;
        else
            rc = -1;
    } else {
        rc = parse_primary(in, index);
    }
    in->depth--;
    return rc;
}

static int parse_chain(struct parser *in, const char *token, enum op op,
                       int (*part)(struct parser *, uint16_t *), uint16_t *index)
{
    if (part(in, index))
        return -1;
    while (accept(in, token)) {
        uint16_t left = *index, right = 0;
        struct node *node;
        if (part(in, &right) || !(node = new_node(in, op, index)))
            return -1;
        node->left = left;
        node->right = right;
    }
    return 0;
}

static int parse_and(struct parser *in, uint16_t *index)
{
    return parse_chain(in, "&&", OP_AND, parse_not, index);
}

static int parse_or(struct parser *in, uint16_t *index)
{
    return parse_chain(in, "||", OP_OR, parse_and, index);
}

struct dt_env_expr *dt_env_expr_parse(const char *text, struct dt_error *err)
{
    struct dt_env_expr *expr = calloc(1, sizeof(*expr));
    struct parser in = {expr, text, text, 0, err};

    if (!expr) {
        dt_error_set(err, "no memory left for a condition");
        return NULL;
    }
    if (parse_or(&in, &expr->root))
        goto fail;
    skip_blanks(&in);
    if (*in.p) {
        wrong(&in, "expected '&&', '||' or the end");
        goto fail;
    }
    return expr;
fail:
    dt_env_expr_destroy(expr);
    return NULL;
}

void dt_env_expr_destroy(struct dt_env_expr *expr)
{
    if (!expr)
        return;
    for (size_t i = 0; i < expr->count; i++) {
        free(expr->nodes[i].a.text);
        free(expr->nodes[i].b.text);
    }
    free(expr->nodes);
    free(expr);
}

/* ---- evaluation ------------------------------------------------------------------------------ */

static void value_of(const struct dt_env_operand *operand, const struct dt_env_world *world,
                     struct dt_env_value *value)
{
    if (operand->kind == DT_OPERAND_FACT) {
        dt_env_fact(world, operand->text, value);
        return;
    }
    value->text =
        operand->kind == DT_OPERAND_USER ? dt_env_user(world, operand->text) : operand->text;
    value->kind = value->text ? DT_VALUE_TEXT : DT_VALUE_UNSET;
}

static bool is_integer(const char *text, long long *number)
{
    char *end;

    if (!isdigit((unsigned char)*text) && *text != '-')
        return false;
    *number = strtoll(text, &end, 10);
    return end != text && *end == '\0';
}

static bool is_version(const char *text)
{
    return isdigit((unsigned char)text[*text == 'v' || *text == 'V']);
}

/* Returns false when the two can not be put in order. */
static bool order(const char *a, const char *b, int *result)
{
    long long x, y;

    if (is_integer(a, &x) && is_integer(b, &y))
        *result = (x > y) - (x < y);
    else if (is_version(a) && is_version(b))
        *result = dt_version_compare(a, b);
    else
        return false;
    return true;
}

static enum dt_truth truth(bool value)
{
    return value ? DT_TRUE : DT_FALSE;
}

static enum dt_truth compare(enum op op, const char *a, const char *b)
{
    int result;

    if (op == OP_LIKE)
        return truth(fnmatch(b, a, 0) == 0);
    if (!order(a, b, &result)) {
        if (op != OP_EQ && op != OP_NE)
            return DT_UNKNOWN;
        result = strcmp(a, b);
    }
    switch (op) {
    case OP_EQ:
        return truth(result == 0);
    case OP_NE:
        return truth(result != 0);
    case OP_LT:
        return truth(result < 0);
    case OP_LE:
        return truth(result <= 0);
    case OP_GT:
        return truth(result > 0);
    default:
        return truth(result >= 0);
    }
}

static enum dt_truth eval_comparison(const struct node *node, const struct dt_env_world *world)
{
    struct dt_env_value a, b;

    value_of(&node->a, world, &a);
    value_of(&node->b, world, &b);
    if (a.kind == DT_VALUE_UNKNOWN || b.kind == DT_VALUE_UNKNOWN)
        return DT_UNKNOWN;
    if (a.kind == DT_VALUE_UNSET || b.kind == DT_VALUE_UNSET)
        return truth(node->op == OP_NE && a.kind != b.kind);
    return compare(node->op, a.text, b.text);
}

/* libfabric's reading of a boolean (fi_param_get_bool). */
static bool reads_as(const char *text, bool want)
{
    static const char *const words[2][4] = {{"0", "false", "no", "off"},
                                            {"1", "true", "yes", "on"}};

    for (size_t i = 0; i < 4; i++)
        if (!strcasecmp(text, words[want][i]))
            return true;
    return false;
}

static enum dt_truth eval_leaf(const struct node *node, const struct dt_env_world *world)
{
    struct dt_env_value value;

    if (node->op != OP_TRUTH && node->op != OP_YES && node->op != OP_NO)
        return eval_comparison(node, world);
    value_of(&node->a, world, &value);
    if (value.kind == DT_VALUE_UNKNOWN)
        return DT_UNKNOWN;
    if (value.kind == DT_VALUE_UNSET)
        return DT_FALSE;
    if (node->op != OP_TRUTH)
        return truth(reads_as(value.text, node->op == OP_YES));
    /* $NAME alone: is it set at all; a fact alone: is it more than nothing. */
    return truth(node->a.kind == DT_OPERAND_USER || (*value.text && strcmp(value.text, "0") != 0));
}

static enum dt_truth eval(const struct dt_env_expr *expr, uint16_t index,
                          const struct dt_env_world *world)
{
    const struct node *node = &expr->nodes[index];
    enum dt_truth left, right, decisive = node->op == OP_OR ? DT_TRUE : DT_FALSE;

    if (node->op == OP_NOT) {
        left = eval(expr, node->left, world);
        return left == DT_UNKNOWN ? DT_UNKNOWN : truth(left == DT_FALSE);
    }
    if (node->op != OP_OR && node->op != OP_AND)
        return eval_leaf(node, world);
    left = eval(expr, node->left, world);
    if (left == decisive)
        return left;
    right = eval(expr, node->right, world);
    if (right == decisive || left != DT_UNKNOWN)
        return right;
    return DT_UNKNOWN;
}

enum dt_truth dt_env_expr_eval(const struct dt_env_expr *expr, const struct dt_env_world *world)
{
    return eval(expr, expr->root, world);
}
