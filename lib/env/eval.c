/* SPDX-License-Identifier: Apache-2.0 */
/* Evaluating conditions, in three-valued logic. */
#include <ctype.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "env/internal.h"

static const struct dt_env_value *value_of(const struct dt_env_operand *operand,
                                           struct dt_env_world *world, struct dt_env_value *own)
{
    if (operand->kind == DT_OPERAND_FACT)
        return dt_env_fact(world, operand->index);
    own->text = operand->kind == DT_OPERAND_USER   ? world->users[operand->index]
                : operand->kind == DT_OPERAND_SELF ? world->self
                                                   : operand->text;
    if (own->text && !strcmp(own->text, DT_ENV_VALUE_UNKNOWN))
        own->kind = DT_VALUE_UNKNOWN;
    else
        own->kind = own->text ? DT_VALUE_TEXT : DT_VALUE_UNSET;
    return own;
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

static enum dt_truth truth_if(bool known)
{
    return known ? DT_TRUE : DT_UNKNOWN;
}

static enum dt_truth compare(enum dt_env_op op, const char *a, const char *b)
{
    int result;

    if (op == DT_OP_LIKE)
        return truth(fnmatch(b, a, 0) == 0);
    if (!order(a, b, &result)) {
        if (op != DT_OP_EQ && op != DT_OP_NE)
            return DT_UNKNOWN;
        result = strcmp(a, b);
    }
    switch (op) {
    case DT_OP_EQ:
        return truth(result == 0);
    case DT_OP_NE:
        return truth(result != 0);
    case DT_OP_LT:
        return truth(result < 0);
    case DT_OP_LE:
        return truth(result <= 0);
    case DT_OP_GT:
        return truth(result > 0);
    default:
        return truth(result >= 0);
    }
}

static enum dt_truth eval_comparison(const struct dt_env_node *node, struct dt_env_world *world)
{
    struct dt_env_value own_a, own_b;
    const struct dt_env_value *a = value_of(&node->a, world, &own_a);
    const struct dt_env_value *b = value_of(&node->b, world, &own_b);

    if (a->kind == DT_VALUE_UNKNOWN || b->kind == DT_VALUE_UNKNOWN)
        return DT_UNKNOWN;
    if (a->kind == DT_VALUE_UNSET || b->kind == DT_VALUE_UNSET)
        return truth(node->op == DT_OP_NE && a->kind != b->kind);
    return compare(node->op, a->text, b->text);
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

static enum dt_truth eval_leaf(const struct dt_env_node *node, struct dt_env_world *world)
{
    struct dt_env_value own;
    const struct dt_env_value *value;

    if (node->op < DT_OP_TRUTH)
        return eval_comparison(node, world);
    value = value_of(&node->a, world, &own);
    if (value->kind == DT_VALUE_UNKNOWN) /* of a variable it is known that it is set */
        return truth_if(node->op == DT_OP_TRUTH && node->a.kind != DT_OPERAND_FACT);
    if (value->kind == DT_VALUE_UNSET)
        return DT_FALSE;
    if (node->op == DT_OP_MISSING)
        return dt_env_path_missing(world, value->text);
    if (node->op != DT_OP_TRUTH)
        return truth(reads_as(value->text, node->op == DT_OP_YES));
    /* $NAME alone: is it set at all; a fact alone: is it more than nothing. */
    return truth(node->a.kind != DT_OPERAND_FACT ||
                 (*value->text && strcmp(value->text, "0") != 0));
}

static enum dt_truth eval(const struct dt_env_expr *expr, uint16_t index,
                          struct dt_env_world *world)
{
    const struct dt_env_node *node = &expr->nodes[index];
    enum dt_truth left, right, decisive = node->op == DT_OP_OR ? DT_TRUE : DT_FALSE;

    if (node->op == DT_OP_NOT) {
        left = eval(expr, node->left, world);
        return left == DT_UNKNOWN ? DT_UNKNOWN : truth(left == DT_FALSE);
    }
    if (node->op != DT_OP_OR && node->op != DT_OP_AND)
        return eval_leaf(node, world);
    left = eval(expr, node->left, world);
    if (left == decisive)
        return left;
    right = eval(expr, node->right, world);
    if (right == decisive || left != DT_UNKNOWN)
        return right;
    return DT_UNKNOWN;
}

enum dt_truth dt_env_expr_eval(const struct dt_env_expr *expr, struct dt_env_world *world)
{
    return eval(expr, expr->root, world);
}

/* ---- why it came out unknown --------------------------------------------------------------------- */

struct doubts {
    const char *items[8];
    size_t count;
};

static void add_doubt(struct doubts *doubts, const char *label)
{
    for (size_t i = 0; i < doubts->count; i++)
        if (!strcmp(doubts->items[i], label))
            return;
    if (doubts->count < sizeof(doubts->items) / sizeof(doubts->items[0]))
        doubts->items[doubts->count++] = label;
}

static void doubt_operand(struct doubts *doubts, const struct dt_env_operand *operand,
                          const struct dt_env_world *world)
{
    const char *user = operand->kind == DT_OPERAND_USER   ? world->users[operand->index]
                       : operand->kind == DT_OPERAND_SELF ? world->self
                                                          : NULL;

    if (operand->kind == DT_OPERAND_FACT && world->answers[operand->index].kind == DT_VALUE_UNKNOWN)
        add_doubt(doubts, dt_env_fact_label(operand->index));
    else if (user && !strcmp(user, DT_ENV_VALUE_UNKNOWN))
        add_doubt(doubts, operand->kind == DT_OPERAND_SELF ? "its value"
                                                           : world->names->items[operand->index]);
}

char *dt_env_expr_doubt(const struct dt_env_expr *expr, const struct dt_env_world *world)
{
    struct doubts doubts = {0};
    struct dt_buf text = DT_BUF_INIT;

    for (size_t i = 0; i < expr->count; i++) {
        const struct dt_env_node *node = &expr->nodes[i];
        if (node->op < DT_OP_EQ)
            continue;
        doubt_operand(&doubts, &node->a, world);
        doubt_operand(&doubts, &node->b, world);
    }
    if (doubts.count == 0) /* two values that can not be put in order */
        add_doubt(&doubts, "what the value stands for");
    for (size_t i = 0; i < doubts.count; i++)
        dt_buf_printf(&text, "%s%s",
                      i == 0                 ? ""
                      : i + 1 < doubts.count ? ", "
                                             : " and ",
                      doubts.items[i]);
    dt_buf_puts(&text, doubts.count > 1 ? " are not known" : " is not known");
    return dt_buf_take(&text);
}
