/* SPDX-License-Identifier: Apache-2.0 */
/* Command line: the groups of options, and what all options have in common. argp prints the help; the
 * words are looked at first by check_words(), because getopt's own message for an unknown option is
 * two lines and does not say what was meant. */
#include "options_rows.h"
#include "session.h"

#include <argp.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/exitcode.h"
#include "version.h"

const char *argp_program_version = "dt-launch " DT_VERSION;

#define ROWS_MAX  128
#define KEY_FIRST 0x100 /* of an option without a letter: this plus its number */

static const struct dt_option_group groups[] = {
    {"Which processes:", dt_options_of_shape},
    {"Running:", dt_options_of_running},
    {"After a failure:", dt_options_of_restarts},
    {"Watching:", dt_options_of_watch},
    {"Around the processes:", dt_options_of_extras},
    {"In a batch script or salloc, without srun:", dt_options_of_driver},
    {"Output:", dt_options_of_output},
    {"As torchrun:", dt_options_of_torchrun},
};
#define GROUPS (sizeof groups / sizeof *groups)

/* All rows in order, and the same for argp. */
static const struct dt_option_row *rows[ROWS_MAX];
static size_t row_count;
static struct argp_option table[ROWS_MAX + GROUPS + 1];

/* argp adds these by itself. */
static const struct argp_option automatic[] = {
    {"help", '?', 0, 0, 0, 0},
    {"usage", 0, 0, 0, 0, 0},
    {"version", 'V', 0, 0, 0, 0},
    {0},
};

static const char summary[] =
    "Start a training program: the right rank variables for each process, signals passed on, the "
    "rank that failed first named, its exit code kept.\v"
    "Under srun:\n"
    "  srun -N4 --ntasks-per-node=8 dt-launch -- python train.py\n"
    "  srun -N4 --ntasks-per-node=1 dt-launch --nproc-per-node 8 -- python train.py\n"
    "Without Slurm:\n"
    "  dt-launch --nproc-per-node auto -- python train.py\n\n"
    "Exit code: that of the rank that failed first, 128+N if signal N killed it; 64 wrong usage or "
    "environment, 67 a process could not be started or watched, 68 validation was asked for and "
    "did not happen, 69 a process could not be bound as planned, 70 the job hung and was ended, 75 "
    "it was saved "
    "before its time was over, "
    "126 program not executable, 127 "
    "program not found.";

static void build_table(void)
{
    struct argp_option *at = table;
    row_count = 0;
    for (size_t g = 0; g < GROUPS; g++) {
        *at++ = (struct argp_option){.doc = groups[g].title, .group = (int)g + 1};
        for (const struct dt_option_row *row = groups[g].rows; row->name; row++) {
            if (row_count == ROWS_MAX)
                abort(); /* a build with more options than ROWS_MAX */
            *at++ =
                (struct argp_option){.name = row->name,
                                     .key = row->letter ? row->letter : KEY_FIRST + (int)row_count,
                                     .arg = row->value,
                                     .flags = (row->may_lack_value ? OPTION_ARG_OPTIONAL : 0) |
                                              (row->doc ? 0 : OPTION_HIDDEN),
                                     .doc = row->doc};
            rows[row_count++] = row;
        }
    }
    *at = (struct argp_option){0};
}

static bool ends_table(const struct argp_option *option)
{
    return !option->name && !option->key && !option->doc;
}

/* ---- words ------------------------------------------------------------------------------- */

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Edit distance; words longer than 31 bytes are no near miss of any option. */
static size_t distance(const char *a, size_t a_length, const char *b)
{
    size_t row[32], b_length = strlen(b);
    if (a_length > 31 || b_length > 31)
        return 99;
    for (size_t j = 0; j <= b_length; j++)
        row[j] = j;
    for (size_t i = 1; i <= a_length; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_length; j++) {
            size_t above = row[j];
            size_t change = diagonal + (a[i - 1] != b[j - 1]);
            row[j] = least(change, 1 + least(above, row[j - 1]));
            diagonal = above;
        }
    }
    return row[b_length];
}

struct lookup {
    const struct argp_option *found;
    const char *nearest;
    size_t nearest_distance;
    int prefixes; /* how many names begin with the word */
};

static void look_up(struct lookup *lookup, const struct argp_option *option, const char *word,
                    size_t length)
{
    for (; !ends_table(option); option++) {
        if (!option->name)
            continue;
        size_t d = distance(word, length, option->name);
        if (d < lookup->nearest_distance) {
            lookup->nearest_distance = d;
            lookup->nearest = option->name;
        }
        if (strncmp(option->name, word, length) == 0) {
            lookup->prefixes++;
            lookup->found = option;
        }
    }
}

/* Check "--name[=value]"; *takes_next: the value is the next word. */
static int check_long(const char *word, bool has_next, bool *takes_next, struct dt_error *err)
{
    const char *name = word + 2;
    size_t length = strcspn(name, "=");
    struct lookup lookup = {.nearest_distance = 99};
    look_up(&lookup, table, name, length);
    look_up(&lookup, automatic, name, length);
    *takes_next = false;
    if (lookup.nearest_distance > 0 && lookup.prefixes > 1)
        return dt_error_set(err, "--%.*s could be more than one option; see dt-launch --help",
                            (int)length, name);
    if (lookup.prefixes == 0 && lookup.nearest && lookup.nearest_distance <= 1 + length / 4)
        return dt_error_set(err, "unknown option --%.*s: did you mean --%s?", (int)length, name,
                            lookup.nearest);
    if (lookup.prefixes == 0)
        return dt_error_set(err,
                            "unknown option --%.*s: see dt-launch --help; options of the program "
                            "stand after --",
                            (int)length, name);
    bool takes = lookup.found->arg && !(lookup.found->flags & OPTION_ARG_OPTIONAL);
    if (!lookup.found->arg && name[length] == '=')
        return dt_error_set(err, "--%s takes no value (it has \"%s\")", lookup.found->name,
                            name + length + 1);
    *takes_next = takes && name[length] != '=';
    if (*takes_next && !has_next)
        return dt_error_set(err, "--%s needs a value: --%s=%s", lookup.found->name,
                            lookup.found->name, lookup.found->arg);
    return 0;
}

/* Check "-x", "-xVALUE". */
static int check_short(const char *word, bool has_next, bool *takes_next, struct dt_error *err)
{
    const struct dt_option_row *row = NULL;
    *takes_next = false;
    for (size_t i = 0; i < row_count && !row; i++)
        row = rows[i]->letter == word[1] ? rows[i] : NULL;
    bool is_automatic = word[1] == 'V' || word[1] == '?';
    if ((!row && !is_automatic) || (word[2] && (!row || !row->value)))
        return dt_error_set(err, "unknown option %s: see dt-launch --help", word);
    *takes_next = row && row->value && !row->may_lack_value && !word[2];
    if (*takes_next && !has_next)
        return dt_error_set(err, "%s needs a value: %s %s", word, word, row->value);
    return 0;
}

/* torchrun takes --nproc_per_node as well as --nproc-per-node. */
static void unify(char *word)
{
    for (char *at = word + 2; *at && *at != '='; at++) {
        if (*at == '_')
            *at = '-';
    }
}

/* Every option word before the program is one that argp will accept. */
static int check_words(int argc, char **argv, struct dt_error *err)
{
    for (int i = 1; i < argc; i++) {
        char *word = argv[i];
        if (strcmp(word, "--") == 0 || word[0] != '-' || !word[1])
            return 0;
        if (word[1] == '-') {
            bool takes_next;
            unify(word);
            if (check_long(word, i + 1 < argc, &takes_next, err))
                return -1;
            i += takes_next;
        } else {
            bool takes_next;
            if (check_short(word, i + 1 < argc, &takes_next, err))
                return -1;
            i += takes_next;
        }
    }
    return 0;
}

/* ---- taking ------------------------------------------------------------------------------ */

struct parse {
    struct dt_options *options;
    bool given[ROWS_MAX];
    struct dt_error *err;
};

static size_t row_of(int key)
{
    if (key >= KEY_FIRST && (size_t)(key - KEY_FIRST) < row_count)
        return (size_t)(key - KEY_FIRST);
    size_t i = 0;
    while (i < row_count && !(rows[i]->letter && rows[i]->letter == key))
        i++;
    return i;
}

static int take_row(struct parse *parse, size_t index, const char *value)
{
    char name[64];
    snprintf(name, sizeof name, "--%s", rows[index]->name);
    parse->given[index] = true;
    return rows[index]->take(parse->options, name, value, parse->err);
}

static error_t take(int key, char *arg, struct argp_state *state)
{
    struct parse *parse = state->input;
    if (key == ARGP_KEY_ARG) { /* the program: all that follows is its own */
        parse->options->program = state->argv + state->next - 1;
        state->next = state->argc;
        return 0;
    }
    size_t index = row_of(key);
    if (index == row_count)
        return ARGP_ERR_UNKNOWN;
    return take_row(parse, index, arg) ? EINVAL : 0;
}

/* PET_NPROC_PER_NODE for --nproc-per-node. An empty one is as good as none. */
static int take_variables(struct parse *parse)
{
    for (size_t i = 0; i < row_count; i++) {
        char name[64];
        snprintf(name, sizeof name, "PET_%s", rows[i]->name);
        for (char *c = name; *c; c++)
            *c = (char)(*c == '-' ? '_' : toupper((unsigned char)*c));
        const char *value = getenv(name);
        if (rows[i]->pet && !parse->given[i] && value && *value &&
            rows[i]->take(parse->options, name, value, parse->err))
            return -1;
    }
    return 0;
}

static int default_env(struct dt_options *options, struct dt_error *err)
{
    const char *variable = getenv("DT_ENV");
    if (options->env != DT_ENV_MODE_UNSET)
        return 0;
    options->env = DT_ENV_MODE_OFF;
    return variable && *variable ? dt_options_take_env(options, "DT_ENV", variable, err) : 0;
}

static int check_together(const struct dt_options *o, struct dt_error *err)
{
    if (!o->roles && (!o->program || !*o->program[0]))
        return dt_error_set(err,
                            "no program was given: dt-launch [OPTION...] -- PROGRAM ARGUMENT...");
    if (o->per_task && o->nproc != DT_NPROC_UNSET)
        return dt_error_set(err, "--per-task and --nproc-per-node contradict each other: give one");
    if (o->per_task && o->store == DT_STORE_LAUNCHER)
        return dt_error_set(err, "--store launcher needs --nproc-per-node: with --per-task the "
                                 "environment is left to the program, and rank 0 serves its store");
    if (o->module && o->no_python)
        return dt_error_set(err, "--module and --no-python contradict each other: give one");
    return 0;
}

int dt_options_parse(struct dt_options *options, int argc, char **argv, struct dt_error *err)
{
    static const struct argp argp = {
        .options = table, .parser = take, .args_doc = "-- PROGRAM [ARGUMENT...]", .doc = summary};
    struct parse parse = {.options = options, .err = err};
    *options = (struct dt_options){.node_rank = -1,
                                   .doctor = -1,
                                   .kill_grace_s = 5,
                                   .missing_after_s = 10,
                                   .lost_after_s = DT_PATIENCE_S,
                                   .hang = {.timeout_s = 600},
                                   .checkpoint = {.window_s = 300},
                                   .env = DT_ENV_MODE_UNSET};
    build_table();
    argp_err_exit_status = DT_EXIT_USAGE;
    if (check_words(argc, argv, err) || argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &parse))
        return -1;
    if (take_variables(&parse) || check_together(options, err))
        return -1;
    if (!options->bind.by_option && dt_bind_words_default(&options->bind, err))
        return -1;
    return default_env(options, err);
}

void dt_options_fini(struct dt_options *options)
{
    free(options->endpoint);
    free(options->python);
    free(options->extras.profile_text);
    options->extras.profile_text = NULL;
    options->endpoint = NULL;
    options->python = NULL;
}
