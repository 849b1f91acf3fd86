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
#include "export.h"
#include "version.h"

enum key {
    KEY_DATA = 256,
    KEY_PRESET,
    KEY_FAMILY,
    KEY_LAYERS,
    KEY_CHANNELS,
    KEY_HEADS,
    KEY_KV_HEADS,
    KEY_HIDDEN,
    KEY_SEQ,
    KEY_VOCAB,
    KEY_ROPE,
    KEY_TIED,
    KEY_UNTIED,
    KEY_STEPS,
    KEY_BATCH,
    KEY_MICRO,
    KEY_CLIP,
    KEY_SPIKE,
    KEY_RATE,
    KEY_WARMUP,
    KEY_DECAY,
    KEY_SEED,
    KEY_CHECKPOINT,
    KEY_SAVE,
    KEY_RESUME,
    KEY_EXPORT,
    KEY_LOG,
    KEY_EVAL,
    KEY_PRINT,
    KEY_BLAS,
    KEY_PRECISION,
    KEY_COMM,
    KEY_DP,
    KEY_FSDP,
    KEY_ZERO,
    KEY_HELP,
    KEY_VERSION
};

static const struct argp_option argp_table[] = {
    {0, 0, 0, 0, "What to train", 1},
    {"data", KEY_DATA, "FILE|DIR", 0, "text to learn; any bytes; may be given several times", 0},
    {"preset", KEY_PRESET, "NAME", 0,
     "tiny (default), small, gpt2-124m, llama-1b ...; sets what follows", 0},
    {"family", KEY_FAMILY, "NAME", 0, "gpt2 or llama", 0},
    {"layers", KEY_LAYERS, "N", 0, "transformer layers", 0},
    {"channels", KEY_CHANNELS, "N", 0, "width of the model", 0},
    {"heads", KEY_HEADS, "N", 0, "attention heads; divides --channels", 0},
    {"kv-heads", KEY_KV_HEADS, "N", 0, "heads of keys and values; divides --heads", 0},
    {"hidden", KEY_HIDDEN, "N", 0, "width of the second half of a layer", 0},
    {"seq", KEY_SEQ, "N", 0, "tokens of context", 0},
    {"vocab", KEY_VOCAB, "N", 0, "tokens there are; bytes want 256", 0},
    {"rope-base", KEY_ROPE, "N", 0, "of rotary positions (llama; default: 500000)", 0},
    {"tied", KEY_TIED, 0, 0, "the head is the table of tokens", 0},
    {"untied", KEY_UNTIED, 0, 0, "the head has a table of its own", 0},
    {0, 0, 0, 0, "How to train", 2},
    {"steps", KEY_STEPS, "N", 0, "steps in all, those before a resume included (default: 100)", 0},
    {"global-batch", KEY_BATCH, "N", 0, "samples a step over all ranks; the ranks divide it", 0},
    {"micro-batch", KEY_MICRO, "N", 0, "samples a rank takes at a time (default: all its share)",
     0},
    {"lr", KEY_RATE, "X", 0, "highest learning rate, from where it falls to a tenth", 0},
    {"warmup", KEY_WARMUP, "N", 0, "steps up to it (default: a tenth of --steps)", 0},
    {"weight-decay", KEY_DECAY, "X", 0, "AdamW's (default: 0.1)", 0},
    {"clip", KEY_CLIP, "X", 0, "cut the gradient to this length (default: 0, any length)", 0},
    {"spike", KEY_SPIKE, "Z", 0, "end when the loss jumps by Z standard deviations (0: never)", 0},
    {"seed", KEY_SEED, "N", 0, "of weights and data order (default: 1)", 0},
    {"precision", KEY_PRECISION, "KIND", 0,
     "fp32, or bf16: products of bf16, everything else fp32 (default: fp32)", 0},
    {"blas", KEY_BLAS, "KIND", 0, "auto, onednn, openblas or builtin (default: auto)", 0},
    {"dp", KEY_DP, "N", 0, "copies of the model (default: as many as the ranks allow)", 0},
    {"fsdp", KEY_FSDP, "N", 0, "ranks that share each copy in shards (default: 1)", 0},
    {"zero", KEY_ZERO, "N", 0, "shard 1: moments, 2: gradients too, 3: parameters too (default: 3)",
     0},
    {"comm", KEY_COMM, "KIND", 0, "auto: shared memory inside a node; mpi: never (default: auto)",
     0},
    {0, 0, 0, 0, "Checkpoints and output", 3},
    {"checkpoint", KEY_CHECKPOINT, "DIR", 0, "save at the end, and on SIGUSR1 and SIGTERM", 0},
    {"save-every", KEY_SAVE, "N", 0, "and every N steps", 0},
    {"resume", KEY_RESUME, 0, 0, "go on from the newest whole checkpoint, if there is one", 0},
    {"export", KEY_EXPORT, "DIR", 0, "write the trained model for Hugging Face's transformers", 0},
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
    int family, untied; /* -1: not given */
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

static void choose_precision(struct parse *parse, const char *text)
{
    if (strcmp(text, "fp32") == 0 || strcmp(text, "bf16") == 0) {
        parse->options->bf16 = text[0] == 'b';
        return;
    }
    dt_error_set(parse->err, "--precision %s: fp32 or bf16 is wanted", text);
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

static void choose_family(struct parse *parse, const char *text)
{
    parse->family = dt_family_find(text);
    if (parse->family >= 0)
        return;
    dt_error_set(parse->err, "--family %s: gpt2 or llama is wanted", text);
    fail(parse);
}

/* Is it the size of a model? Then it is taken. */
static bool model_size(struct parse *parse, int key, const char *text)
{
    struct dt_model_config *m = &parse->options->model;
    const struct {
        int key;
        const char *name;
        int *place;
        long long least, most;
    } rows[] = {{KEY_LAYERS, "layers", &m->layers, 1, 1000},
                {KEY_CHANNELS, "channels", &m->channels, 1, 65536},
                {KEY_HEADS, "heads", &m->heads, 1, 4096},
                {KEY_KV_HEADS, "kv-heads", &m->kv_heads, 1, 4096},
                {KEY_HIDDEN, "hidden", &m->hidden, 1, 1 << 20},
                {KEY_SEQ, "seq", &m->seq, 1, 1 << 20},
                {KEY_VOCAB, "vocab", &m->vocab, 256, 1 << 20},
                {KEY_ROPE, "rope-base", &m->rope_base, 1, 1000000000}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].key == key) {
            *rows[i].place = (int)integer(parse, rows[i].name, text, rows[i].least, rows[i].most);
            return true;
        }
    }
    return false;
}

static error_t option(int key, char *text, struct argp_state *state)
{
    struct parse *parse = state->input;
    struct dt_options *o = parse->options;
    if (parse->failed)
        return 0; /* the first mistake is the one that is told */
    if (model_size(parse, key, text))
        return 0;
    switch (key) {
    case KEY_DATA:
        add_data(parse, text);
        break;
    case KEY_PRESET:
        o->preset = text;
        break;
    case KEY_FAMILY:
        choose_family(parse, text);
        break;
    case KEY_TIED:
    case KEY_UNTIED:
        parse->untied = key == KEY_UNTIED;
        break;
    case KEY_STEPS:
        o->steps = (long)integer(parse, "steps", text, 1, 1000000000);
        break;
    case KEY_BATCH:
        o->global_batch = (long)integer(parse, "global-batch", text, 1, 1 << 24);
        break;
    case KEY_MICRO:
        o->micro_batch = (long)integer(parse, "micro-batch", text, 1, 1 << 24);
        break;
    case KEY_CLIP:
        o->clip = number(parse, "clip", text, 1e6);
        break;
    case KEY_SPIKE:
        o->spike = number(parse, "spike", text, 1e6);
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
    case KEY_EXPORT:
        o->export_to = text;
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
    case KEY_PRECISION:
        choose_precision(parse, text);
        break;
    case KEY_DP:
        o->mesh.dp = (int)integer(parse, "dp", text, 1, 1 << 20);
        break;
    case KEY_FSDP:
        o->mesh.fsdp = (int)integer(parse, "fsdp", text, 1, 1 << 20);
        break;
    case KEY_ZERO:
        o->zero = (int)integer(parse, "zero", text, 1, 3);
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

static int unknown_preset(const char *name, struct dt_error *err)
{
    const struct dt_preset *preset;
    struct dt_buf names = DT_BUF_INIT;
    for (size_t i = 0; (preset = dt_preset_at(i)); i++)
        dt_buf_printf(&names, "%s%s", i > 0 ? ", " : "", preset->name);
    char *text = dt_buf_take(&names);
    dt_error_set(err, "--preset %s: one of %s is wanted", name, text ? text : "the presets");
    free(text);
    return -1;
}

static void override(int *size, int given)
{
    if (given)
        *size = given;
}

static int apply_preset(const struct parse *parse, struct dt_error *err)
{
    struct dt_options *o = parse->options;
    const char *name = o->preset ? o->preset : "tiny";
    const struct dt_preset *preset = dt_preset_find(name);
    if (!preset)
        return unknown_preset(name, err);
    const struct dt_model_config given = o->model;
    o->model = preset->model;
    override(&o->model.layers, given.layers);
    override(&o->model.channels, given.channels);
    override(&o->model.heads, given.heads);
    override(&o->model.kv_heads, given.kv_heads);
    override(&o->model.hidden, given.hidden);
    override(&o->model.seq, given.seq);
    override(&o->model.vocab, given.vocab);
    override(&o->model.rope_base, given.rope_base);
    if (parse->family >= 0)
        o->model.family = parse->family;
    if (parse->untied >= 0)
        o->model.untied = parse->untied;
    dt_config_fill(&o->model);
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
    if (o->zero && !o->mesh.fsdp)
        return dt_error_set(err, "--zero %d wants --fsdp N, the ranks to share the model", o->zero);
    if (!o->checkpoint && (o->resume || o->save_every))
        return dt_error_set(err, "%s wants --checkpoint DIR",
                            o->resume ? "--resume" : "--save-every");
    if (o->bf16 && (o->blas == DT_BLAS_ONEDNN || o->blas == DT_BLAS_OPENBLAS))
        return dt_error_set(err, "--precision bf16 has products of its own; leave out --blas");
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
    struct parse parse = {.options = options, .err = err, .family = -1, .untied = -1};
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
    if (options->mesh.fsdp && !options->zero)
        options->zero = 3;
    if (!parse.failed && apply_preset(&parse, err) == 0 && check_together(options, err) == 0)
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

int dt_options_check(const struct dt_options *o, int ranks, struct dt_error *err)
{
    if (dt_config_check(&o->model, err) < 0 ||
        (o->export_to && dt_export_check(&o->model, err) < 0))
        return -1;
    if (o->global_batch % ranks != 0) {
        long below = o->global_batch / ranks * ranks, above = below + ranks;
        long nearest =
            below > 0 && o->global_batch - below <= above - o->global_batch ? below : above;
        return dt_error_set(err,
                            "--global-batch %ld can not be shared by %d ranks evenly; the "
                            "nearest that can is --global-batch %ld",
                            o->global_batch, ranks, nearest);
    }
    long share = o->global_batch / ranks;
    if (o->micro_batch && share % o->micro_batch != 0)
        return dt_error_set(err,
                            "--micro-batch %ld does not divide the %ld samples of a rank; the "
                            "nearest that does is --micro-batch %ld",
                            o->micro_batch, share, dt_nearest_divisor(share, o->micro_batch));
    return 0;
}

char *dt_options_text(const struct dt_options *o)
{
    static const char *const on[] = {"no", "yes"};
    const struct dt_model_config *m = &o->model;
    struct dt_buf text = DT_BUF_INIT;
    dt_buf_printf(&text, "--family %s\n--layers %d\n--channels %d\n--heads %d\n--kv-heads %d\n",
                  dt_family_name(m->family), m->layers, m->channels, m->heads, m->kv_heads);
    dt_buf_printf(&text, "--hidden %d\n--seq %d\n--vocab %d\n--rope-base %d\n--untied %s\n",
                  m->hidden, m->seq, m->vocab, m->rope_base, on[m->untied]);
    dt_buf_printf(&text, "--micro-batch %ld\n--clip %.17g\n--spike %.17g\n", o->micro_batch,
                  o->clip, o->spike);
    dt_buf_printf(&text, "--steps %ld\n--global-batch %ld\n--lr %.17g\n--warmup %ld\n", o->steps,
                  o->global_batch, o->rate, o->warmup);
    dt_buf_printf(&text, "--weight-decay %.17g\n--seed %llu\n--checkpoint %s\n--save-every %ld\n",
                  o->decay, o->seed, on[o->checkpoint != NULL], o->save_every);
    dt_buf_printf(&text, "--precision %s\n", o->bf16 ? "bf16" : "fp32");
    dt_buf_printf(&text, "--dp %d\n--fsdp %d\n--zero %d\n", o->mesh.dp, o->mesh.fsdp, o->zero);
    dt_buf_printf(&text, "--resume %s\n--export %s\n--eval-every %ld\n--comm %s\n", on[o->resume],
                  on[o->export_to != NULL], o->eval_every, o->comm == DT_COMM_MPI ? "mpi" : "auto");
    return dt_buf_take(&text);
}
