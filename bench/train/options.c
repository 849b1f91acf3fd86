/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of dt-train: options, presets, and sizes that fit together. */
#include "options.h"

#include <argp.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "version.h"

static const struct preset {
    const char *name;
    struct dt_model_config model;
    long global_batch;
    double rate;
} presets[] = {
    {"tiny", {1, 64, 2, 16, 256}, 128, 4e-3},
    {"small", {6, 384, 6, 256, 256}, 16, 1e-3},
};

enum key {
    KEY_DATA = 256,
    KEY_PRESET,
    KEY_LAYERS,
    KEY_CHANNELS,
    KEY_HEADS,
    KEY_SEQ,
    KEY_STEPS,
    KEY_BATCH,
    KEY_RATE,
    KEY_WARMUP,
    KEY_DECAY,
    KEY_SEED,
    KEY_CHECKPOINT,
    KEY_SAVE,
    KEY_RESUME,
    KEY_LOG,
    KEY_EVAL,
    KEY_PRINT,
    KEY_BLAS,
    KEY_COMM,
    KEY_HELP,
    KEY_VERSION
};

static const struct argp_option argp_table[] = {
    {0, 0, 0, 0, "What to train", 1},
    {"data", KEY_DATA, "FILE|DIR", 0, "text to learn; any bytes; may be given several times", 0},
    {"preset", KEY_PRESET, "NAME", 0, "tiny or small (default: tiny); sets what follows", 0},
    {"layers", KEY_LAYERS, "N", 0, "transformer layers", 0},
    {"channels", KEY_CHANNELS, "N", 0, "width of the model", 0},
    {"heads", KEY_HEADS, "N", 0, "attention heads; divides --channels", 0},
    {"seq", KEY_SEQ, "N", 0, "tokens of context (bytes)", 0},
    {0, 0, 0, 0, "How to train", 2},
    {"steps", KEY_STEPS, "N", 0, "steps in all, those before a resume included (default: 100)", 0},
    {"global-batch", KEY_BATCH, "N", 0, "samples a step over all ranks; the ranks divide it", 0},
    {"lr", KEY_RATE, "X", 0, "highest learning rate, from where it falls to a tenth", 0},
    {"warmup", KEY_WARMUP, "N", 0, "steps up to it (default: a tenth of --steps)", 0},
    {"weight-decay", KEY_DECAY, "X", 0, "AdamW's (default: 0.1)", 0},
    {"seed", KEY_SEED, "N", 0, "of weights and data order (default: 1)", 0},
    {"blas", KEY_BLAS, "KIND", 0, "auto, onednn, openblas or builtin (default: auto)", 0},
    {"comm", KEY_COMM, "KIND", 0, "auto: shared memory inside a node; mpi: never (default: auto)",
     0},
    {0, 0, 0, 0, "Checkpoints and output", 3},
    {"checkpoint", KEY_CHECKPOINT, "DIR", 0, "save at the end, and on SIGUSR1 and SIGTERM", 0},
    {"save-every", KEY_SAVE, "N", 0, "and every N steps", 0},
    {"resume", KEY_RESUME, 0, 0, "go on from the newest whole checkpoint, if there is one", 0},
    {"eval-every", KEY_EVAL, "N", 0, "hold out the last tenth of the data; loss on it every N", 0},
    {"print-every", KEY_PRINT, "N", 0, "steps a printed line (default: about 20 lines)", 0},
    {"log", KEY_LOG, "FILE", 0, "append a JSON object a step", 0},
    {"help", KEY_HELP, 0, 0, "print this and end", 0},
    {"version", KEY_VERSION, 0, 0, "print the version and end", 0},
    {0},
};

struct parse {
    struct dt_options *options;
    struct dt_error *err;
    bool failed;
};

static void fail(struct parse *parse)
{
    parse->failed = true;
}

static long long integer(struct parse *parse, const char *name, const char *text, long long least,
                         long long most)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno || end == text || *end || value < least || value > most) {
        dt_error_set(parse->err, "--%s %s: a whole number from %lld to %lld is wanted", name, text,
                     least, most);
        fail(parse);
        return least;
    }
    return value;
}

static double number(struct parse *parse, const char *name, const char *text, double most)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !isfinite(value) || value < 0 || value > most) {
        dt_error_set(parse->err, "--%s %s: a number from 0 to %g is wanted", name, text, most);
        fail(parse);
        return 0;
    }
    return value;
}

static void choose_blas(struct parse *parse, const char *text)
{
    static const char *const names[] = {"auto", "onednn", "openblas", "builtin"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(text, names[i]) == 0) {
            parse->options->blas = (enum dt_blas_kind)i;
            return;
        }
    }
    dt_error_set(parse->err, "--blas %s: auto, onednn, openblas or builtin is wanted", text);
    fail(parse);
}

static void choose_comm(struct parse *parse, const char *text)
{
    if (strcmp(text, "auto") == 0 || strcmp(text, "mpi") == 0) {
        parse->options->comm = text[0] == 'm' ? DT_COMM_MPI : DT_COMM_AUTO;
        return;
    }
    dt_error_set(parse->err, "--comm %s: auto or mpi is wanted", text);
    fail(parse);
}

static void add_data(struct parse *parse, char *path)
{
    struct dt_options *o = parse->options;
    char **grown = realloc(o->data, (o->data_count + 1) * sizeof *grown);
    if (!grown) {
        dt_error_set(parse->err, "no memory for %zu --data options", o->data_count + 1);
        fail(parse);
        return;
    }
    o->data = grown;
    o->data[o->data_count++] = path;
}

static void model_size(struct parse *parse, int key, const char *text)
{
    struct dt_model_config *m = &parse->options->model;
    if (key == KEY_LAYERS)
        m->layers = (int)integer(parse, "layers", text, 1, 1000);
    else if (key == KEY_CHANNELS)
        m->channels = (int)integer(parse, "channels", text, 1, 65536);
    else if (key == KEY_HEADS)
        m->heads = (int)integer(parse, "heads", text, 1, 4096);
    else
        m->seq = (int)integer(parse, "seq", text, 1, 1 << 20);
}

static error_t option(int key, char *text, struct argp_state *state)
{
    struct parse *parse = state->input;
    struct dt_options *o = parse->options;
    if (parse->failed)
        return 0; /* the first mistake is the one that is told */
    switch (key) {
    case KEY_DATA:
        add_data(parse, text);
        break;
    case KEY_PRESET:
        o->preset = text;
        break;
    case KEY_LAYERS:
    case KEY_CHANNELS:
    case KEY_HEADS:
    case KEY_SEQ:
        model_size(parse, key, text);
        break;
    case KEY_STEPS:
        o->steps = (long)integer(parse, "steps", text, 1, 1000000000);
        break;
    case KEY_BATCH:
        o->global_batch = (long)integer(parse, "global-batch", text, 1, 1 << 24);
        break;
    case KEY_RATE:
        o->rate = number(parse, "lr", text, 10);
        break;
    case KEY_WARMUP:
        o->warmup = (long)integer(parse, "warmup", text, 0, 1000000000);
        break;
    case KEY_DECAY:
        o->decay = number(parse, "weight-decay", text, 10);
        break;
    case KEY_SEED:
        o->seed = (unsigned long long)integer(parse, "seed", text, 0, LLONG_MAX);
        break;
    case KEY_CHECKPOINT:
        o->checkpoint = text;
        break;
    case KEY_SAVE:
        o->save_every = (long)integer(parse, "save-every", text, 1, 1000000000);
        break;
    case KEY_RESUME:
        o->resume = true;
        break;
    case KEY_LOG:
        o->log = text;
        break;
    case KEY_EVAL:
        o->eval_every = (long)integer(parse, "eval-every", text, 1, 1000000000);
        break;
    case KEY_PRINT:
        o->print_every = (long)integer(parse, "print-every", text, 1, 1000000000);
        break;
    case KEY_HELP:
        argp_help(state->root_argp, stdout, ARGP_HELP_STD_HELP & ~ARGP_HELP_EXIT_OK, "dt-train");
        exit(0);
    case KEY_VERSION:
        puts("dt-train " DT_VERSION);
        exit(0);
    case KEY_BLAS:
        choose_blas(parse, text);
        break;
    case KEY_COMM:
        choose_comm(parse, text);
        break;
    case ARGP_KEY_ARG:
        dt_error_set(parse->err, "%s: there are no arguments but options; for data say --data %s",
                     text, text);
        fail(parse);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static int apply_preset(struct dt_options *o, struct dt_error *err)
{
    const struct preset *preset = NULL;
    const char *name = o->preset ? o->preset : "tiny";
    for (size_t i = 0; i < sizeof presets / sizeof *presets; i++)
        if (strcmp(name, presets[i].name) == 0)
            preset = &presets[i];
    if (!preset)
        return dt_error_set(err, "--preset %s: tiny or small is wanted", name);
    const struct dt_model_config given = o->model;
    o->model = preset->model;
    o->model.layers = given.layers ? given.layers : o->model.layers;
    o->model.channels = given.channels ? given.channels : o->model.channels;
    o->model.heads = given.heads ? given.heads : o->model.heads;
    o->model.seq = given.seq ? given.seq : o->model.seq;
    o->global_batch = o->global_batch ? o->global_batch : preset->global_batch;
    o->rate = o->rate >= 0 ? o->rate : preset->rate;
    o->warmup = o->warmup >= 0 ? o->warmup : o->steps / 10;
    return 0;
}

static int check_together(const struct dt_options *o, struct dt_error *err)
{
    if (o->data_count == 0)
        return dt_error_set(err, "--data FILE is missing: the text to learn; try "
                                 "--data /usr/share/common-licenses/GPL-3");
    if (!o->checkpoint && (o->resume || o->save_every))
        return dt_error_set(err, "%s wants --checkpoint DIR",
                            o->resume ? "--resume" : "--save-every");
    return 0;
}

int dt_options_parse(struct dt_options *options, int argc, char **argv, struct dt_error *err)
{
    static const struct argp argp = {
        .options = argp_table,
        .parser = option,
        .doc = "Train a transformer on text: alone, or data-parallel under srun --mpi=pmix or "
               "mpirun.\v"
               "OMP_NUM_THREADS sets the threads of a rank (default: its share of the CPUs). With "
               "DT_PROGRESS_FD=N a line a step goes to descriptor N. See dt-train(1)."};
    struct parse parse = {.options = options, .err = err};
    int next = 0;
    *options = (struct dt_options){.steps = 100, .seed = 1, .rate = -1, .warmup = -1, .decay = 0.1};
    error_t rc = argp_parse(&argp, argc, argv, ARGP_NO_ERRS | ARGP_NO_HELP, &next, &parse);
    if (!parse.failed && rc == ENOMEM) {
        dt_error_set(err, "no memory for the command line");
        fail(&parse);
    } else if (!parse.failed && rc != 0) {
        const char *word = next > 1 && next <= argc ? argv[next - 1] : "";
        dt_error_set(err, "%s: no such option, or its value is missing; dt-train --help lists all",
                     word);
        fail(&parse);
    }
    if (!parse.failed && apply_preset(options, err) == 0 && check_together(options, err) == 0)
        return 0;
    dt_options_fini(options);
    return -1;
}

void dt_options_fini(struct dt_options *options)
{
    free(options->data);
    options->data = NULL;
    options->data_count = 0;
}

static long nearest_divisor(long number, long wanted)
{
    for (long away = 0;; away++) {
        if (wanted - away >= 1 && number % (wanted - away) == 0)
            return wanted - away;
        if (wanted + away <= number && number % (wanted + away) == 0)
            return wanted + away;
    }
}

int dt_options_check(const struct dt_options *o, int ranks, struct dt_error *err)
{
    const struct dt_model_config *m = &o->model;
    if (m->channels % m->heads != 0)
        return dt_error_set(err,
                            "--heads %d does not divide --channels %d; the nearest that does "
                            "is --heads %ld",
                            m->heads, m->channels, nearest_divisor(m->channels, m->heads));
    if (o->global_batch % ranks != 0) {
        long below = o->global_batch / ranks * ranks, above = below + ranks;
        long nearest =
            below > 0 && o->global_batch - below <= above - o->global_batch ? below : above;
        return dt_error_set(err,
                            "--global-batch %ld can not be shared by %d ranks evenly; the "
                            "nearest that can is --global-batch %ld",
                            o->global_batch, ranks, nearest);
    }
    return 0;
}

char *dt_options_text(const struct dt_options *o)
{
    static const char *const on[] = {"no", "yes"};
    struct dt_buf text = DT_BUF_INIT;
    dt_buf_printf(&text, "--layers %d\n--channels %d\n--heads %d\n--seq %d\n", o->model.layers,
                  o->model.channels, o->model.heads, o->model.seq);
    dt_buf_printf(&text, "--steps %ld\n--global-batch %ld\n--lr %.17g\n--warmup %ld\n", o->steps,
                  o->global_batch, o->rate, o->warmup);
    dt_buf_printf(&text, "--weight-decay %.17g\n--seed %llu\n--checkpoint %s\n--save-every %ld\n",
                  o->decay, o->seed, on[o->checkpoint != NULL], o->save_every);
    dt_buf_printf(&text, "--resume %s\n--eval-every %ld\n--comm %s\n", on[o->resume], o->eval_every,
                  o->comm == DT_COMM_MPI ? "mpi" : "auto");
    return dt_buf_take(&text);
}
