/* SPDX-License-Identifier: Apache-2.0 */
/* Conditions: `accelerator == nvidia && lib.libfabric < 1.18.0 && !yes($FI_EFA_USE_HUGE_PAGE)`.
 * Parsed once into a small tree; eval.c evaluates it. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "env/internal.h"

#define NODES_MAX 256
#define DEPTH_MAX 32
#define SHOWN_MAX 40

struct parser {
    struct dt_env_expr *expr;
    struct dt_env_names *names;
    const char *text, *p;
    int depth;
    struct dt_error *err;
};

static bool word_char(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '.' || c == '+' || c == '-';
}

/* What the mistake is shown by: a word, or what is no word up to the next blank. */
static int shown_length(const char *text)
{
    bool word = word_char(*text);
    int len = 1;

    while (len < SHOWN_MAX && text[len] && !isspace((unsigned char)text[len]) &&
           word == word_char(text[len]))
        len++;
    return len;
}

static int wrong(struct parser *in, const char *expected)
{
    if (*in->p)
        return dt_error_set(in->err, "condition, at '%.*s' (column %d): %s", shown_length(in->p),
                            in->p, (int)(in->p - in->text) + 1, expected);
    return dt_error_set(in->err, "condition, at its end: %s", expected);
}

/* hint: "", or what else it may have been. */
static int no_fact(struct parser *in, const char *word, size_t len, const char *hint)
{
    char *name = strndup(word, len);
    const char *near = NULL;
    size_t best = 3; /* slips further off are no slips */
    struct dt_error said;

    for (size_t i = 0; name && dt_env_fact_name(i); i++) {
        size_t distance = dt_env_distance(name, dt_env_fact_name(i), best);
        if (distance < best) {
            best = distance;
            near = dt_env_fact_name(i);
        }
    }
    free(name);
    dt_error_set(&said, "there is no fact of this name%s%s%s%s", near ? "; did you mean '" : "",
                 near ? near : "", near ? "'?" : "", near ? "" : hint);
    in->p = word;
    return wrong(in, said.text);
}

static void skip_blanks(struct parser *in)
{
    while (isspace((unsigned char)*in->p))
        in->p++;
}

static bool accept(struct parser *in, const char *token)
{
    skip_blanks(in);
    if (*in->p != *token || strncmp(in->p, token, strlen(token)) != 0)
        return false;
    in->p += strlen(token);
    return true;
}

static struct dt_env_node *new_node(struct parser *in, enum dt_env_op op, uint16_t *index)
{
    struct dt_env_expr *expr = in->expr;

    if (expr->count == NODES_MAX) {
        wrong(in, "too many terms; split the rule");
        return NULL;
    }
    if (expr->count == expr->room) {
        size_t room = expr->room ? expr->room * 2 : 4; /* most conditions have few terms */
        struct dt_env_node *grown = realloc(expr->nodes, room * sizeof(*grown));
        if (!grown) {
            dt_error_set(in->err, "no memory left for a condition");
            return NULL;
        }
        expr->nodes = grown;
        expr->room = room;
    }
    *index = (uint16_t)expr->count;
    expr->nodes[expr->count] = (struct dt_env_node){.op = op};
    return &expr->nodes[expr->count++];
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

/* $NAME, or $_ for the variable that the rule is about. */
static int user_operand(struct parser *in, struct dt_env_operand *operand, const char *name,
                        size_t len)
{
    uint16_t index;

    if (len == 1 && *name == '_') {
        operand->kind = DT_OPERAND_SELF;
        in->expr->uses_self = true;
        return 0;
    }
    index = dt_env_names_add(in->names, name, len);
    if (index == DT_ENV_NO_NAME)
        return wrong(in, "no memory left, or too many variables");
    operand->kind = DT_OPERAND_USER;
    operand->index = index;
    return 0;
}

static int word_operand(struct parser *in, struct dt_env_operand *operand, const char *word,
                        size_t len, bool left)
{
    operand->index = dt_env_fact_index(word, len);
    operand->kind = operand->index >= 0 ? DT_OPERAND_FACT : DT_OPERAND_TEXT;
    if (operand->kind == DT_OPERAND_FACT)
        return 0;
    if (left)
        return no_fact(in, word, len, "; expected a fact or a $VARIABLE");
    /* A dotted word that is no version is a fact misspelt, not a value. */
    if (isalpha((unsigned char)*word) && memchr(word, '.', len) && !isdigit((unsigned char)word[1]))
        return no_fact(in, word, len, "; put a value with dots into quotes");
    return take_text(in, operand, word, len);
}

static int parse_operand(struct parser *in, struct dt_env_operand *operand, bool left)
{
    const char *start;
    size_t len = 0;
    bool user;

    skip_blanks(in);
    if (*in->p == '"' && !left)
        return parse_quoted(in, operand);
    user = *in->p == '$';
    start = in->p + user;
    while (word_char(start[len]))
        len++;
    if (len == 0)
        return wrong(in, "expected a fact, a $VARIABLE or a value");
    in->p = start + len;
    return user ? user_operand(in, operand, start, len)
                : word_operand(in, operand, start, len, left);
}

static int parse_or(struct parser *in, uint16_t *index);

static int parse_function(struct parser *in, enum dt_env_op op, uint16_t *index)
{
    struct dt_env_node *node = new_node(in, op, index);

    if (!node || parse_operand(in, &node->a, true))
        return -1;
    return accept(in, ")") ? 0 : wrong(in, "expected ')'");
}

static int parse_comparison(struct parser *in, uint16_t *index)
{
    static const struct {
        const char *token;
        enum dt_env_op op;
    } tokens[] = {{"==", DT_OP_EQ}, {"!=", DT_OP_NE}, {"<=", DT_OP_LE}, {">=", DT_OP_GE},
                  {"<", DT_OP_LT},  {">", DT_OP_GT},  {"~", DT_OP_LIKE}};
    struct dt_env_node *node = new_node(in, DT_OP_TRUTH, index);

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
        return parse_function(in, DT_OP_YES, index);
    if (accept(in, "no("))
        return parse_function(in, DT_OP_NO, index);
    if (accept(in, "missing("))
        return parse_function(in, DT_OP_MISSING, index);
    if (!accept(in, "("))
        return parse_comparison(in, index);
    if (parse_or(in, index))
        return -1;
    return accept(in, ")") ? 0 : wrong(in, "expected ')'");
}

static int parse_not(struct parser *in, uint16_t *index)
{
    struct dt_env_node *node;
    uint16_t inner = 0;
    int rc;

    if (++in->depth > DEPTH_MAX)
        return wrong(in, "nested too deeply");
    if (accept(in, "!")) {
        rc = parse_not(in, &inner);
        if (rc == 0 && (node = new_node(in, DT_OP_NOT, index)))
            node->left = inner;
        else
            rc = -1;
    } else {
        rc = parse_primary(in, index);
    }
    in->depth--;
    return rc;
}

static int parse_chain(struct parser *in, const char *token, enum dt_env_op op,
                       int (*part)(struct parser *, uint16_t *), uint16_t *index)
{
    if (part(in, index))
        return -1;
    while (accept(in, token)) {
        uint16_t left = *index, right = 0;
        struct dt_env_node *node;
        if (part(in, &right) || !(node = new_node(in, op, index)))
            return -1;
        node->left = left;
        node->right = right;
    }
    return 0;
}

static int parse_and(struct parser *in, uint16_t *index)
{
    return parse_chain(in, "&&", DT_OP_AND, parse_not, index);
}

static int parse_or(struct parser *in, uint16_t *index)
{
    return parse_chain(in, "||", DT_OP_OR, parse_and, index);
}

struct dt_env_expr *dt_env_expr_parse(const char *text, struct dt_env_names *names, size_t *at,
                                      struct dt_error *err)
{
    struct dt_env_expr *expr = calloc(1, sizeof(*expr));
    struct parser in = {expr, names, text, text, 0, err};

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
    if (at)
        *at = (size_t)(in.p - text);
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
