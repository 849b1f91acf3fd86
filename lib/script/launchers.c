/* SPDX-License-Identifier: Apache-2.0 */
/* Programs that start programs: what they hand on by options of their own, and the shells that they
 * start with a text that stands in the script. */
#include <stdlib.h>
#include <string.h>

#include "script/internal.h"

#define NESTED_MAX 8

/* ---- a shell inside the script ------------------------------------------------------------------ */

/* A mistake in the inner text is the inner shell's; here it only means that nothing is known. */
static int run_inside(struct dt_shell *shell, const struct dt_token *command, const char *text,
                      size_t len, int line)
{
    struct dt_error own, *outer = shell->err;
    int partial = shell->partial, rc;
    shell->err = &own;
    shell->partial++;
    shell->nested++;
    rc = shell->nested > NESTED_MAX ? -1 : dt_shell_run(shell, text, len, line);
    shell->nested--;
    shell->partial = partial;
    shell->err = outer;
    if (rc == 0 || shell->script->setting_count >= DT_SCRIPT_SETTINGS_MAX)
        return rc < 0 ? dt_error_set(outer, "%s", own.text) : 0;
    return dt_shell_note(shell, command->raw, command->len, command->line);
}

/* The text of `bash -c TEXT` after the expansions of the outer shell. */
static int run_text(struct dt_shell *shell, const struct dt_token *command,
                    const struct dt_token *word)
{
    struct dt_shell_value value;
    int rc;
    dt_shell_expand(shell, word->raw, word->len, &value);
    if (value.unknown)
        rc = dt_shell_note(shell, command->raw, (size_t)(word->raw + word->len - command->raw),
                           command->line);
    else
        rc = run_inside(shell, command, value.text.data ? value.text.data : "", value.text.len,
                        word->line);
    dt_shell_value_fini(&value);
    return rc;
}

/* In a body whose delimiter is not quoted the outer shell expands first; that comes to the same,
 * unless a backslash keeps something for the inner one. */
static int run_body(struct dt_shell *shell, const struct dt_token *command)
{
    struct dt_body body = shell->here;
    if (!body.raw)
        return 0;
    shell->here.raw = NULL;
    if (!body.quoted && memchr(body.raw, '\\', body.len))
        return dt_shell_note(shell, command->raw, command->len, command->line);
    return run_inside(shell, command, body.raw, body.len, body.line);
}

static bool is_shell(const struct dt_token *word)
{
    static const char *const names[] = {"bash", "sh", "dash", "ksh", "zsh"};
    struct dt_token base = dt_word_base(word);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (dt_word_is(&base, names[i]))
            return true;
    return false;
}

/* bash -lc TEXT; bash [-s] with a here-document. */
static int run_shell(struct dt_shell *shell, const struct dt_token *words, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        const struct dt_token *word = &words[i];
        if (word->len < 2 || (*word->raw != '-' && *word->raw != '+'))
            return dt_shell_note(shell, words->raw, (size_t)(word->raw + word->len - words->raw),
                                 words->line); /* another script */
        if (dt_word_is(word, "-o") || dt_word_is(word, "+o") || dt_word_is(word, "-O"))
            i++;
        else if (word->raw[1] != '-' && memchr(word->raw, 'c', word->len))
            return i + 1 < count ? run_text(shell, &words[0], &words[i + 1]) : 0;
    }
    return run_body(shell, &words[0]);
}

/* ---- options that hand variables on ------------------------------------------------------------- */

enum kind { NAMES_ONE, NAMES_LIST, NAMES_FILE };

struct option {
    const char *word;
    enum kind kind;
};

struct launcher {
    const char *const *names;
    const struct option *options;
};

static const struct launcher launchers[] = {
    {(const char *const[]){"srun", "sbatch", "salloc", NULL},
     (const struct option[]){{"--export", NAMES_LIST}, {"--export-file", NAMES_FILE}, {NULL, 0}}},
    {(const char *const[]){"mpirun", "mpiexec", "orterun", "prterun", NULL},
     (const struct option[]){{"-x", NAMES_ONE}, {NULL, 0}}},
    {(const char *const[]){"docker", "podman", "nerdctl", "enroot", NULL},
     (const struct option[]){
         {"-e", NAMES_ONE}, {"--env", NAMES_ONE}, {"--env-file", NAMES_FILE}, {NULL, 0}}},
    {(const char *const[]){"singularity", "apptainer", NULL}, /* its -e is another */
     (const struct option[]){{"--env", NAMES_LIST}, {"--env-file", NAMES_FILE}, {NULL, 0}}},
    {(const char *const[]){"timeout", "numactl", "taskset", "stdbuf", "nice", "ionice", "xargs",
                           NULL},
     (const struct option[]){{NULL, 0}}},
};

static int use(struct dt_shell *shell, enum kind kind, const struct dt_token *argument,
               const struct dt_token *from)
{
    if (kind == NAMES_ONE)
        return dt_shell_give_word(shell, argument);
    if (kind == NAMES_LIST)
        return dt_shell_give_list(shell, argument);
    return dt_shell_note(shell, from->raw, (size_t)(argument->raw + argument->len - from->raw),
                         from->line);
}

/* One word that may be an option with its argument, "--env=X=1", "--env X=1" or "-eX=1". Returns how
 * many words it took (0: it is none), -1: err. */
static int take_option(struct dt_shell *shell, const struct option *options,
                       const struct dt_token *words, size_t count)
{
    for (const struct option *o = options; o->word; o++) {
        size_t len = strlen(o->word);
        bool is_long = o->word[1] == '-';
        if (words->len < len || memcmp(words->raw, o->word, len) != 0)
            continue;
        if (words->len == len && count > 1)
            return use(shell, o->kind, &words[1], words) < 0 ? -1 : 2;
        struct dt_token rest = {DT_TOKEN_WORD, words->raw + len, words->len - len, words->line};
        if (rest.len == 0 || (is_long && *rest.raw != '='))
            continue;
        rest.raw += is_long;
        rest.len -= is_long;
        return use(shell, o->kind, &rest, words) < 0 ? -1 : 1;
    }
    return 0;
}

static int run_launcher(struct dt_shell *shell, const struct option *options,
                        const struct dt_token *words, size_t count)
{
    for (size_t i = 1; i < count;) {
        int took = take_option(shell, options, words + i, count - i);
        if (took < 0)
            return -1;
        struct dt_token base = dt_word_base(&words[i]);
        if (took == 0 && is_shell(&words[i]))
            return run_shell(shell, words + i, count - i);
        if (took == 0 && dt_word_is(&base, "env"))
            return dt_shell_command(shell, words + i, count - i);
        i += took > 0 ? (size_t)took : 1;
    }
    return 0;
}

int dt_shell_launch(struct dt_shell *shell, const struct dt_token *words, size_t count)
{
    struct dt_token base = dt_word_base(&words[0]);
    if (is_shell(&words[0]))
        return run_shell(shell, words, count);
    for (size_t i = 0; i < sizeof launchers / sizeof *launchers; i++)
        for (const char *const *known = launchers[i].names; *known; known++)
            if (dt_word_is(&base, *known))
                return run_launcher(shell, launchers[i].options, words, count);
    return 0;
}
