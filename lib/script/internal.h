/* SPDX-License-Identifier: Apache-2.0 */
/* Inside lib/script: tokens, the shell's variables as far as they are known, and the walk over the
 * commands. */
#ifndef DT_SCRIPT_INTERNAL_H
#define DT_SCRIPT_INTERNAL_H

#include "base/buf.h"
#include "script/script.h"

/* ---- lexer.c: text to tokens -------------------------------------------------------------------- */

enum dt_token_kind {
    DT_TOKEN_WORD,
    DT_TOKEN_NEWLINE,    /* end of a line, or ';' or '&' */
    DT_TOKEN_CASE_END,   /* ";;" ";&" ";;&" */
    DT_TOKEN_AND_OR,     /* "&&" "||" */
    DT_TOKEN_PIPE,       /* "|" "|&" */
    DT_TOKEN_OPEN,       /* "(" */
    DT_TOKEN_CLOSE,      /* ")" */
    DT_TOKEN_ARITHMETIC, /* "((...))" at the start of a command, whole */
    DT_TOKEN_END
};

/* raw: a slice of the text, with its quotes. */
struct dt_token {
    enum dt_token_kind kind;
    const char *raw;
    size_t len;
    int line;
};

struct dt_here {
    char *delimiter;
    bool tabs;   /* "<<-" */
    bool quoted; /* <<'EOF': nothing in the body is expanded */
};

/* The text of a here-document: a slice of the script; raw NULL: there is none. */
struct dt_body {
    const char *raw;
    size_t len;
    int line;
    bool quoted;
};

struct dt_lexer {
    const char *p, *end;
    int line;
    struct dt_here *heres; /* here-documents whose bodies begin at the next line */
    size_t here_count;
    struct dt_body body; /* of the last here-document of the line that has ended */
    struct dt_error *err;
};

/* Redirections are stepped over. command: a command may begin here. */
int dt_lexer_next(struct dt_lexer *lexer, bool command, struct dt_token *token);
void dt_lexer_fini(struct dt_lexer *lexer);

/* Length of the quoted or expanded part that begins at p ('...', "...", $(...), ${...}, `...`), or 0
 * when none begins there; -1: it does not end. depth: 0 for the caller. */
#define DT_SCRIPT_DEPTH 40
long dt_script_span(const char *p, const char *end, int depth);

/* ---- state.c: variables ------------------------------------------------------------------------- */

/* A value, or the reason why there is none. */
struct dt_shell_value {
    struct dt_buf text;
    struct dt_buf doubt;
    bool unknown;
};

struct dt_shell_variable {
    char *name;
    char *value; /* NULL: not known, or (set false) unset */
    char *doubt;
    bool set, exported;
};

struct dt_shell {
    struct dt_script *script;
    struct dt_shell_variable *variables;
    size_t count;
    bool export_all;     /* set -a */
    bool stopped;        /* exit */
    int partial;         /* > 0: inside something that may not run */
    int nested;          /* shells inside the script, one in another */
    struct dt_body here; /* what the command reads on its standard input */
    struct dt_error *err;
};

#define DT_SCRIPT_SETTINGS_MAX 4096
#define DT_SCRIPT_VALUE_MAX    16384

size_t dt_shell_name(const char *text, size_t len); /* length of the name at the start, or 0 */
struct dt_shell_variable *dt_shell_find(struct dt_shell *shell, const char *name, size_t len);
/* value: taken over (emptied). */
int dt_shell_assign(struct dt_shell *shell, const char *name, size_t len,
                    struct dt_shell_value *value, bool exported, int line);
/* For one program only: no variable of the shell changes. */
int dt_shell_give(struct dt_shell *shell, const char *name, size_t len,
                  struct dt_shell_value *value, int line);
int dt_shell_export(struct dt_shell *shell, const char *name, size_t len, bool exported, int line);
int dt_shell_unset(struct dt_shell *shell, const char *name, size_t len, int line);
int dt_shell_note(struct dt_shell *shell, const char *text, size_t len, int line);
void dt_shell_fini(struct dt_shell *shell);

/* ---- words.c: quotes and expansions ---------------------------------------------------------------- */

void dt_shell_expand(struct dt_shell *shell, const char *raw, size_t len,
                     struct dt_shell_value *value);
void dt_shell_value_fini(struct dt_shell_value *value);
void dt_shell_unknown(struct dt_shell_value *value, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Without looking at variables: the text of a plain word; NULL when it has expansions. Caller
 * frees. */
char *dt_shell_plain(const char *raw, size_t len);

/* ---- commands.c, parser.c ----------------------------------------------------------------------- */

/* One simple command: what it does to the variables. */
int dt_shell_command(struct dt_shell *shell, const struct dt_token *words, size_t count);
/* NAME=VALUE of one simple command: an operand of env, an argument of docker's --env. Whatever is no
 * such word is stepped over. */
int dt_shell_give_word(struct dt_shell *shell, const struct dt_token *word);
/* The same, of a list with commas between. */
int dt_shell_give_list(struct dt_shell *shell, const struct dt_token *list);
/* #SBATCH --export=ALL,NAME=VALUE: Slurm expands nothing in it. */
int dt_shell_export_literal(struct dt_shell *shell, const char *list, size_t len, int line);
/* line: of the first byte. */
int dt_shell_run(struct dt_shell *shell, const char *text, size_t len, int line);

/* ---- launchers.c: programs that start programs --------------------------------------------------- */

/* srun, mpirun, docker ... and a shell that gets its text from the script. */
int dt_shell_launch(struct dt_shell *shell, const struct dt_token *words, size_t count);

/* ---- words of a command -------------------------------------------------------------------------- */

bool dt_word_is(const struct dt_token *word, const char *text);
/* Without the directory. */
struct dt_token dt_word_base(const struct dt_token *word);

#endif
