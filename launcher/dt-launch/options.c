/* SPDX-License-Identifier: Apache-2.0 */
/* Command line: the table of options, and one sentence for each thing that can be wrong in it. argp
 * prints the help; the words are looked at first by check_words(), because getopt's own message for
 * an unknown option is two lines and does not say what was meant. */
#include "options.h"

#include <argp.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/exitcode.h"
#include "version.h"

const char *argp_program_version = "dt-launch " DT_VERSION;

enum key {
    KEY_PER_TASK = 0x100,
    KEY_NPROC,
    KEY_NNODES,
    KEY_NODE_RANK,
    KEY_MASTER_ADDR,
    KEY_MASTER_PORT,
    KEY_STORE,
    KEY_MISSING,
    KEY_KILL_GRACE,
    KEY_DRY_RUN,
    KEY_ENV,
    KEY_BIND,
};

static const struct argp_option table[] = {
    {0, 0, 0, 0, "How many processes:", 1},
    {"per-task", KEY_PER_TASK, 0, 0,
     "Wrap the one process of each Slurm task (default when --nproc-per-node is not given)", 0},
    {"nproc-per-node", KEY_NPROC, "N|auto|gpu|cpu", 0,
     "Start N processes on each node; srun must start one task a node. auto: one for each visible "
     "GPU, else one for each core allowed; gpu, cpu: one for each of these",
     0},
    {0, 0, 0, 0, "Without Slurm, on more than one node:", 2},
    {"nnodes", KEY_NNODES, "N", 0, "Number of nodes; start dt-launch once on each", 0},
    {"node-rank", KEY_NODE_RANK, "K", 0, "Number of this node, 0 to N-1", 0},
    {"master-addr", KEY_MASTER_ADDR, "ADDR", 0,
     "Address of node 0; wins over MASTER_ADDR of the environment", 0},
    {"master-port", KEY_MASTER_PORT, "PORT", 0,
     "Port on node 0; wins over MASTER_PORT of the environment", 0},
    {0, 0, 0, 0, "Running:", 3},
    {"store", KEY_STORE, "launcher|rank0", 0,
     "Who serves PyTorch's store on MASTER_PORT: dt-launch (default with one dt-launch a node; it "
     "then "
     "knows who is missing), or rank 0, for programs that bind MASTER_PORT themselves",
     0},
    {"prefix-output", 'l', "rank|node", OPTION_ARG_OPTIONAL,
     "Begin each line of output with [RANK], or with [NODE:RANK]; lines are never torn", 0},
    {"missing-after", KEY_MISSING, "SECONDS", 0,
     "While ranks wait in the store: say after so long which have not connected, and again after "
     "twice that, and so on (10)",
     0},
    {"kill-grace", KEY_KILL_GRACE, "SECONDS", 0,
     "After a rank has failed, the others get SIGTERM and so long after it SIGKILL (5)", 0},
    {"env", KEY_ENV, "auto|explain|off", 0,
     "Set the EFA, NCCL and libfabric variables that this node needs, where Slurm's plugin has "
     "not; "
     "explain: and say why. Yours are kept (default: DT_ENV, else off)",
     0},
    {"bind", KEY_BIND, "auto|explain|off[,WORD...]", 0,
     "Give each of the N processes cores and memory near its GPU, as srun --dt-bind does for "
     "tasks, "
     "within what dt-launch was given; explain: and say why. WORDs as there (default: as srun "
     "--dt-bind, else DT_BIND, else off)",
     0},
    {"dry-run", KEY_DRY_RUN, 0, 0, "Print arguments and environment of each rank, start nothing",
     0},
    {0},
};

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
    "did not happen, 69 a process could not be bound as planned, 126 program not executable, 127 "
    "program not found.";

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
        } else if (!strchr("lV?", word[1]) || (word[1] != 'l' && word[2])) {
            return dt_error_set(err, "unknown option %s: see dt-launch --help", word);
        }
    }
    return 0;
}

/* ---- values ------------------------------------------------------------------------------ */

static int read_int(const char *option, const char *text, long low, long high, int *value,
                    struct dt_error *err)
{
    char *end;
    errno = 0;
    long n = strtol(text, &end, 10);
    if (errno || end == text || *end || n < low || n > high)
        return dt_error_set(err, "%s is \"%s\": a number from %ld to %ld is needed", option, text,
                            low, high);
    *value = (int)n;
    return 0;
}

static int read_nproc(const char *text, int *nproc, struct dt_error *err)
{
    *nproc = strcmp(text, "auto") == 0  ? DT_NPROC_AUTO
             : strcmp(text, "gpu") == 0 ? DT_NPROC_GPU
             : strcmp(text, "cpu") == 0 ? DT_NPROC_CPU
                                        : DT_NPROC_UNSET;
    if (*nproc != DT_NPROC_UNSET)
        return 0;
    char *end;
    errno = 0;
    long n = strtol(text, &end, 10);
    if (errno || end == text || *end || n < 1 || n > 4096)
        return dt_error_set(
            err, "--nproc-per-node is \"%s\": auto, gpu, cpu or a number from 1 to 4096 is needed",
            text);
    *nproc = (int)n;
    return 0;
}

static int read_prefix(const char *text, enum dt_prefix *prefix, struct dt_error *err)
{
    if (!text || strcmp(text, "rank") == 0)
        *prefix = DT_PREFIX_RANK;
    else if (strcmp(text, "node") == 0)
        *prefix = DT_PREFIX_NODE;
    else
        return dt_error_set(err, "--prefix-output is \"%s\": rank or node is needed", text);
    return 0;
}

static int read_store(const char *text, enum dt_store_mode *mode, struct dt_error *err)
{
    if (strcmp(text, "launcher") == 0)
        *mode = DT_STORE_LAUNCHER;
    else if (strcmp(text, "rank0") == 0)
        *mode = DT_STORE_RANK0;
    else
        return dt_error_set(err, "--store is \"%s\": launcher or rank0 is needed", text);
    return 0;
}

static int read_env(const char *place, const char *text, enum dt_env_mode *mode,
                    struct dt_error *err)
{
    static const char *const words[] = {
        [DT_ENV_MODE_OFF] = "off", [DT_ENV_MODE_AUTO] = "auto", [DT_ENV_MODE_EXPLAIN] = "explain"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcmp(text, words[i]) == 0) {
            *mode = (enum dt_env_mode)i;
            return 0;
        }
    }
    return dt_error_set(err, "%s is \"%s\": auto, explain or off is needed", place, text);
}

static int read_seconds(const char *option, const char *text, double *seconds, struct dt_error *err)
{
    char *end;
    errno = 0;
    double s = strtod(text, &end);
    if (errno || end == text || *end || !(s >= 0 && s <= 86400))
        return dt_error_set(err, "%s is \"%s\": a number of seconds from 0 to 86400 is needed",
                            option, text);
    *seconds = s;
    return 0;
}

struct parse {
    struct dt_options *options;
    struct dt_error *err;
};

static error_t take(int key, char *arg, struct argp_state *state)
{
    struct parse *parse = state->input;
    struct dt_options *o = parse->options;
    struct dt_error *err = parse->err;
    int result = 0;
    switch (key) {
    case KEY_PER_TASK:
        o->per_task = true;
        break;
    case KEY_NPROC:
        result = read_nproc(arg, &o->nproc, err);
        break;
    case KEY_NNODES:
        result = read_int("--nnodes", arg, 1, 1 << 20, &o->nnodes, err);
        break;
    case KEY_NODE_RANK:
        result = read_int("--node-rank", arg, 0, (1 << 20) - 1, &o->node_rank, err);
        break;
    case KEY_MASTER_ADDR:
        o->master_addr = arg;
        if (!*arg)
            result = dt_error_set(err, "--master-addr is empty: an address or name is needed");
        break;
    case KEY_MASTER_PORT:
        result = read_int("--master-port", arg, 1, 65535, &o->master_port, err);
        break;
    case KEY_STORE:
        result = read_store(arg, &o->store, err);
        break;
    case KEY_MISSING:
        result = read_seconds("--missing-after", arg, &o->missing_after_s, err);
        break;
    case KEY_KILL_GRACE:
        result = read_seconds("--kill-grace", arg, &o->kill_grace_s, err);
        break;
    case KEY_ENV:
        result = read_env("--env", arg, &o->env, err);
        break;
    case KEY_BIND:
        result = dt_bind_words_parse(&o->bind, "--bind", arg, err);
        o->bind.by_option = true;
        break;
    case KEY_DRY_RUN:
        o->dry_run = true;
        break;
    case 'l':
        result = read_prefix(arg, &o->prefix, err);
        break;
    case ARGP_KEY_ARG: /* the program: all that follows is its own */
        o->program = state->argv + state->next - 1;
        state->next = state->argc;
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return result ? EINVAL : 0;
}

static int default_env(enum dt_env_mode *mode, struct dt_error *err)
{
    const char *variable = getenv("DT_ENV");
    if (*mode != DT_ENV_MODE_UNSET)
        return 0;
    *mode = DT_ENV_MODE_OFF;
    return variable && *variable ? read_env("DT_ENV", variable, mode, err) : 0;
}

int dt_options_parse(struct dt_options *options, int argc, char **argv, struct dt_error *err)
{
    static const struct argp argp = {
        .options = table, .parser = take, .args_doc = "-- PROGRAM [ARGUMENT...]", .doc = summary};
    struct parse parse = {options, err};
    *options = (struct dt_options){
        .node_rank = -1, .kill_grace_s = 5, .missing_after_s = 10, .env = DT_ENV_MODE_UNSET};
    argp_err_exit_status = DT_EXIT_USAGE;
    if (check_words(argc, argv, err) || argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &parse))
        return -1;
    if (!options->program || !*options->program[0])
        return dt_error_set(err,
                            "no program was given: dt-launch [OPTION...] -- PROGRAM ARGUMENT...");
    if (options->per_task && options->nproc != DT_NPROC_UNSET)
        return dt_error_set(err, "--per-task and --nproc-per-node contradict each other: give one");
    if (options->per_task && options->store == DT_STORE_LAUNCHER)
        return dt_error_set(err, "--store launcher needs --nproc-per-node: with --per-task the "
                                 "environment is left to the program, and rank 0 serves its store");
    if (!options->bind.by_option && dt_bind_words_default(&options->bind, err))
        return -1;
    return default_env(&options->env, err);
}
