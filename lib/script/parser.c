/* SPDX-License-Identifier: Apache-2.0 */
/* The walk over a script: which words make a command, and whether it is sure to run. */
#include <stdlib.h>
#include <string.h>

#include "script/internal.h"

enum block {
    BLOCK_GROUP,    /* { } */
    BLOCK_SUBSHELL, /* ( ) */
    BLOCK_BRANCH,   /* if ... fi */
    BLOCK_LOOP,     /* while, until, for, select ... done */
    BLOCK_CASE      /* case ... esac */
};

struct parser {
    struct dt_lexer lexer;
    struct dt_shell *shell;
    struct dt_token *words; /* of the command that is being read */
    size_t count, room;
    struct {
        enum block kind;
        bool partial; /* counted in shell->partial */
    } * blocks;
    size_t depth, depth_room;
    bool function;  /* a name was declared: the next block is its body */
    bool pattern;   /* inside case, before a ')' */
    bool after_end; /* behind fi, done, }: only redirections come */
    bool chained;   /* behind && or || */
    struct dt_error *err;
};

static int no_memory(struct parser *in)
{
    return dt_error_set(in->err, "no memory left for the script");
}

static bool is_word(const struct dt_token *token, const char *text)
{
    return token->kind == DT_TOKEN_WORD && strlen(text) == token->len &&
           memcmp(token->raw, text, token->len) == 0;
}

static bool is_one_of(const struct dt_token *token, const char *const *texts)
{
    for (; *texts; texts++)
        if (is_word(token, *texts))
            return true;
    return false;
}

static int push_word(struct parser *in, const struct dt_token *word)
{
    if (in->count == in->room) {
        size_t room = in->room ? in->room * 2 : 32;
        struct dt_token *grown = realloc(in->words, room * sizeof *grown);
        if (!grown)
            return no_memory(in);
        in->words = grown;
        in->room = room;
    }
    in->words[in->count++] = *word;
    return 0;
}

static int push_block(struct parser *in, enum block kind)
{
    bool partial = kind != BLOCK_GROUP || in->function || in->chained;
    if (in->depth == in->depth_room) {
        size_t room = in->depth_room ? in->depth_room * 2 : 16;
        void *grown = realloc(in->blocks, room * sizeof *in->blocks);
        if (!grown)
            return no_memory(in);
        in->blocks = grown;
        in->depth_room = room;
    }
    in->blocks[in->depth].kind = kind;
    in->blocks[in->depth++].partial = partial;
    in->shell->partial += partial;
    in->function = in->chained = false;
    return 0;
}

static bool inside(const struct parser *in, enum block kind)
{
    return in->depth > 0 && in->blocks[in->depth - 1].kind == kind;
}

static int pop_block(struct parser *in, enum block kind, const struct dt_token *token)
{
    if (!inside(in, kind))
        return dt_error_set(in->err, "line %d: '%.*s' ends nothing that was begun", token->line,
                            (int)(token->len < 20 ? token->len : 20), token->raw);
    in->shell->partial -= in->blocks[--in->depth].partial;
    in->after_end = true;
    in->chained = false;
    return 0;
}

/* The command is complete. */
static int finish(struct parser *in)
{
    int rc = 0;
    if (in->count > 0 && !in->shell->stopped) {
        in->shell->partial += in->chained;
        in->shell->here = in->lexer.body;
        rc = dt_shell_command(in->shell, in->words, in->count);
        in->shell->partial -= in->chained;
    }
    in->lexer.body.raw = NULL;
    in->count = 0;
    in->after_end = false;
    return rc;
}

/* `for NAME in ...`, `select NAME in ...`: its value changes with every turn. */
static int begin_for(struct parser *in)
{
    struct dt_token name;
    struct dt_shell_value value = {0};
    size_t len;
    int rc = push_block(in, BLOCK_LOOP);
    if (rc < 0 || dt_lexer_next(&in->lexer, true, &name) < 0)
        return -1;
    len = name.kind == DT_TOKEN_WORD ? dt_shell_name(name.raw, name.len) : 0;
    if (len > 0 && len == name.len && !in->shell->stopped) {
        dt_shell_unknown(&value, "it changes in a loop");
        rc = dt_shell_assign(in->shell, name.raw, len, &value, false, name.line);
        dt_shell_value_fini(&value);
    }
    in->after_end = true; /* the list of values is no command */
    return rc;
}

/* `case WORD in` */
static int begin_case(struct parser *in)
{
    struct dt_token token;
    if (push_block(in, BLOCK_CASE) < 0)
        return -1;
    do {
        if (dt_lexer_next(&in->lexer, false, &token) < 0)
            return -1;
        if (token.kind == DT_TOKEN_END)
            return dt_error_set(in->err, "line %d: 'case' without 'in'", token.line);
    } while (!is_word(&token, "in"));
    in->pattern = true;
    return 0;
}

/* [[ ... ]] holds no command. */
static int skip_test(struct parser *in)
{
    struct dt_token token;
    do {
        if (dt_lexer_next(&in->lexer, false, &token) < 0)
            return -1;
        if (token.kind == DT_TOKEN_END)
            return dt_error_set(in->err, "line %d: '[[' without ']]'", token.line);
    } while (!is_word(&token, "]]"));
    in->after_end = true;
    return 0;
}

static int begin_function(struct parser *in)
{
    struct dt_token name;
    if (dt_lexer_next(&in->lexer, false, &name) < 0)
        return -1;
    in->function = true;
    return 0;
}

/* A word where a command may begin: 1 when it was one of the shell's own, 0 when not. */
static int keyword(struct parser *in, const struct dt_token *word)
{
    static const char *const middle[] = {"then", "else", "elif", "do", NULL};
    static const char *const loops[] = {"while", "until", NULL};
    static const char *const fors[] = {"for", "select", NULL};
    int rc = 0;
    if (is_one_of(word, middle))
        return 1;
    if (is_word(word, "if"))
        rc = push_block(in, BLOCK_BRANCH);
    else if (is_one_of(word, loops))
        rc = push_block(in, BLOCK_LOOP);
    else if (is_one_of(word, fors))
        rc = begin_for(in);
    else if (is_word(word, "case"))
        rc = begin_case(in);
    else if (is_word(word, "{"))
        rc = push_block(in, BLOCK_GROUP);
    else if (is_word(word, "[["))
        rc = skip_test(in);
    else if (is_word(word, "function"))
        rc = begin_function(in);
    else if (is_word(word, "fi"))
        rc = pop_block(in, BLOCK_BRANCH, word);
    else if (is_word(word, "done"))
        rc = pop_block(in, BLOCK_LOOP, word);
    else if (is_word(word, "esac"))
        rc = pop_block(in, BLOCK_CASE, word);
    else if (is_word(word, "}"))
        rc = pop_block(in, BLOCK_GROUP, word);
    else
        return 0;
    return rc < 0 ? -1 : 1;
}

/* `NAME ()`: the '(' is here. */
static int function_or_subshell(struct parser *in, const struct dt_token *open)
{
    struct dt_token close;
    if (in->count == 0 && !in->function)
        return push_block(in, BLOCK_SUBSHELL);
    if (in->count > 1)
        return dt_error_set(in->err, "line %d: '(' in the middle of a command", open->line);
    const char *p = in->lexer.p;
    while (p < in->lexer.end && (*p == ' ' || *p == '\t'))
        p++;
    if (in->function && in->count == 0 && (p >= in->lexer.end || *p != ')'))
        return push_block(in, BLOCK_SUBSHELL); /* function NAME ( ... ) */
    if (dt_lexer_next(&in->lexer, false, &close) < 0)
        return -1;
    if (close.kind != DT_TOKEN_CLOSE)
        return dt_error_set(in->err, "line %d: '(' in the middle of a command", open->line);
    in->count = 0;
    in->function = true;
    return 0;
}

/* Patterns of a case, up to the ')'. */
static int take_pattern(struct parser *in, const struct dt_token *token)
{
    if (is_word(token, "esac")) {
        in->pattern = false;
        return pop_block(in, BLOCK_CASE, token);
    }
    if (token->kind == DT_TOKEN_CLOSE)
        in->pattern = false;
    return 0;
}

static int take(struct parser *in, const struct dt_token *token)
{
    bool start = in->count == 0 && !in->after_end;
    int rc;
    if (in->pattern)
        return take_pattern(in, token);
    switch (token->kind) {
    case DT_TOKEN_WORD:
        rc = start ? keyword(in, token) : 0;
        if (rc == 0 && !in->after_end)
            rc = push_word(in, token);
        return rc < 0 ? -1 : 0;
    case DT_TOKEN_OPEN:
        return function_or_subshell(in, token);
    case DT_TOKEN_CLOSE:
        return finish(in) < 0 ? -1 : pop_block(in, BLOCK_SUBSHELL, token);
    case DT_TOKEN_CASE_END:
        rc = finish(in);
        in->chained = false;
        in->pattern = inside(in, BLOCK_CASE);
        return rc;
    case DT_TOKEN_AND_OR:
        rc = finish(in);
        in->chained = true;
        return rc;
    case DT_TOKEN_ARITHMETIC:
        in->after_end = true;
        return 0;
    case DT_TOKEN_NEWLINE:
        /* "&&" at the end of a line goes on in the next. */
        if (in->count > 0 || in->after_end || *token->raw != '\n') {
            rc = finish(in);
            in->chained = false;
            return rc;
        }
        return 0;
    default:
        return finish(in);
    }
}

int dt_shell_run(struct dt_shell *shell, const char *text, size_t len, int line)
{
    struct parser in = {.lexer = {.p = text, .end = text + len, .line = line, .err = shell->err},
                        .shell = shell,
                        .err = shell->err};
    struct dt_token token;
    int rc = 0;
    do {
        bool command = in.count == 0 && !in.after_end && !in.pattern;
        rc = dt_lexer_next(&in.lexer, command, &token);
        if (rc == 0)
            rc = take(&in, &token);
    } while (rc == 0 && token.kind != DT_TOKEN_END && !shell->stopped);
    if (rc == 0 && in.depth > 0 && !shell->stopped)
        rc = dt_error_set(shell->err,
                          "line %d: the script ends in the middle of a block (if, "
                          "loop, case, group or subshell)",
                          in.lexer.line);
    dt_lexer_fini(&in.lexer);
    free(in.words);
    free(in.blocks);
    return rc;
}
