/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of dt-train: the groups of options (options_rows.h), what all options have in
 * common, presets, and sizes that fit together. */
#include "options.h"

#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "options_rows.h"
#include "schedule.h"
#include "version.h"

enum { NOT_GIVEN = -1, MOST_ROWS = 96, KEY_FIRST = 256, KEY_HELP = 1000, KEY_VERSION };

static const struct dt_option_group groups[] = {
    {"What to train", dt_options_of_model},
    {"How to train", dt_options_of_training},
    {"How the ranks share the work", dt_options_of_ranks},
    {"Checkpoints and output", dt_options_of_output},
    {"Text from the model", dt_options_of_text},
};
enum { GROUPS = sizeof groups / sizeof *groups };

/* All rows in order: the key of rows[i] is KEY_FIRST + i. The same for argp. */
static const struct dt_option_row *rows[MOST_ROWS];
static size_t row_count;
static struct argp_option table[MOST_ROWS + GROUPS + 3];

static void fill_table(void)
{
    struct argp_option *at = table;
    row_count = 0;
    for (int g = 0; g < GROUPS; g++) {
        *at++ = (struct argp_option){.doc = groups[g].title, .group = g + 1};
        for (const struct dt_option_row *row = groups[g].rows; row->name; row++) {
            *at++ = (struct argp_option){.name = row->name,
                                         .key = KEY_FIRST + (int)row_count,
                                         .arg = row->value,
                                         .doc = row->doc};
            rows[row_count++] = row;
        }
    }
    *at++ = (struct argp_option){.name = "help", .key = KEY_HELP, .doc = "print this and end"};
    *at++ = (struct argp_option){
        .name = "version", .key = KEY_VERSION, .doc = "print the version and end"};
    *at = (struct argp_option){0};
}

struct parse {
    struct dt_options *options;
    struct dt_error *err;
    bool failed;
};

static error_t option(int key, char *text, struct argp_state *state)
{
    struct parse *parse = state->input;
    if (parse->failed)
        return 0; /* the first mistake is the one that is told */
    if (key >= KEY_FIRST && key < KEY_FIRST + (int)row_count) {
        const struct dt_option_row *row = rows[key - KEY_FIRST];
        parse->failed = row->take(parse->options, row, text, parse->err) < 0;
        return 0;
    }
    switch (key) {
    case KEY_HELP:
        argp_help(state->root_argp, stdout, ARGP_HELP_STD_HELP & ~ARGP_HELP_EXIT_OK, "dt-train");
        exit(0);
    case KEY_VERSION:
        puts("dt-train " DT_VERSION);
        exit(0);
    case ARGP_KEY_ARG:
        dt_error_set(parse->err, "%s: there are no arguments but options; for data say --data %s",
                     text, text);
        parse->failed = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
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

/* The tokenizer, and the sizes of the model to begin from. */
static int open_files(struct dt_options *o, struct dt_error *err)
{
    if (o->init_path && o->preset)
        return dt_error_set(err,
                            "--preset %s and --init %s both give the sizes of the model; "
                            "leave one out",
                            o->preset, o->init_path);
    if (o->tokenizer_path && dt_tokenizer_open(&o->tokenizer, o->tokenizer_path, err) < 0)
        return dt_error_prefix(err, "--tokenizer");
    return o->init_path ? dt_import_open(&o->init, o->init_path, err) : 0;
}

static int apply_preset(struct dt_options *o, struct dt_error *err)
{
    const char *name = o->preset ? o->preset : "tiny";
    const struct dt_preset *preset = dt_preset_find(name);
    if (!preset)
        return unknown_preset(name, err);
    const struct dt_model_config given = o->model;
    o->model = o->init ? *dt_import_config(o->init) : preset->model;
    if (o->tokenizer && !o->init)
        o->model.vocab = (int)dt_tokenizer_size(o->tokenizer);
    override(&o->model.layers, given.layers);
    override(&o->model.channels, given.channels);
    override(&o->model.heads, given.heads);
    override(&o->model.kv_heads, given.kv_heads);
    override(&o->model.hidden, given.hidden);
    override(&o->model.seq, given.seq);
    override(&o->model.vocab, given.vocab);
    override(&o->model.rope_base, given.rope_base);
    override(&o->model.experts, given.experts);
    override(&o->model.experts_per_token, given.experts_per_token);
    o->model.experts_balance = given.experts_balance;
    if (given.family != NOT_GIVEN)
        o->model.family = given.family;
    if (given.untied != NOT_GIVEN)
        o->model.untied = given.untied;
    dt_config_fill(&o->model);
    o->global_batch = o->global_batch ? o->global_batch : preset->global_batch;
    o->rate = o->rate >= 0 ? o->rate : preset->rate;
    o->warmup = o->warmup >= 0 ? o->warmup : o->steps / 10;
    return 0;
}

static int check_text(const struct dt_options *o, struct dt_error *err)
{
    if (o->write_tokens && !o->tokenizer)
        return dt_error_set(err, "--write-tokens %s wants --tokenizer, which makes them",
                            o->write_tokens);
    if (o->tokenizer && (size_t)o->model.vocab < dt_tokenizer_size(o->tokenizer))
        return dt_error_set(err,
                            "--tokenizer %s makes %zu tokens, and the model's vocabulary is "
                            "%d; is the model made with another?",
                            o->tokenizer_path, dt_tokenizer_size(o->tokenizer), o->model.vocab);
    if (o->prompt && !*o->prompt)
        return dt_error_set(err, "--prompt is empty; give some text, or leave it out");
    return o->init ? dt_import_check(o->init, &o->model, err) : 0;
}

static int check_together(const struct dt_options *o, struct dt_error *err)
{
    bool text_only = o->generate && (o->init || o->resume) && !o->write_tokens;
    if (o->data_count == 0 && !text_only)
        return dt_error_set(err, "--data FILE is missing: the text to learn; try "
                                 "--data /usr/share/common-licenses/GPL-3");
    if (o->zero && !o->mesh.fsdp)
        return dt_error_set(err, "--zero %d wants --fsdp N, the ranks to share the model", o->zero);
    if (o->mesh.chunks > 1 && o->mesh.pp < 2)
        return dt_error_set(err, "--pp-chunks %d wants --pp N, the stages that take turns",
                            o->mesh.chunks);
    if (o->mesh.sp && o->mesh.tp < 2)
        return dt_error_set(err, "--sp wants --tp N, the ranks to share the rows");
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
        .options = table,
        .parser = option,
        .doc = "Train a transformer on text: alone, or over ranks under srun --mpi=pmix or "
               "mpirun.\v"
               "OMP_NUM_THREADS sets the threads of a rank (default: its share of the CPUs). With "
               "DT_PROGRESS_FD=N a line a step goes to descriptor N. See dt-train(1)."};
    struct parse parse = {.options = options, .err = err};
    int next = 0;
    *options = (struct dt_options){
        .steps = 100,
        .seed = 1,
        .rate = NOT_GIVEN,
        .warmup = NOT_GIVEN,
        .decay = 0.1,
        .temperature = 0.8,
        .top = 40,
        .model = {.family = NOT_GIVEN, .untied = NOT_GIVEN, .experts_balance = 0.01}};
    fill_table();
    error_t rc = argp_parse(&argp, argc, argv, ARGP_NO_ERRS | ARGP_NO_HELP, &next, &parse);
    if (!parse.failed && rc == ENOMEM) {
        dt_error_set(err, "no memory for the command line");
        parse.failed = true;
    } else if (!parse.failed && rc != 0) {
        const char *word = next > 1 && next <= argc ? argv[next - 1] : "";
        dt_error_set(err, "%s: no such option, or its value is missing; dt-train --help lists all",
                     word);
        parse.failed = true;
    }
    if (options->mesh.fsdp && !options->zero)
        options->zero = 3;
    if (!parse.failed && open_files(options, err) == 0 && apply_preset(options, err) == 0 &&
        check_together(options, err) == 0 && check_text(options, err) == 0)
        return 0;
    dt_options_fini(options);
    return -1;
}

void dt_options_fini(struct dt_options *options)
{
    free(options->data);
    dt_tokenizer_close(options->tokenizer);
    dt_import_close(options->init);
    options->data = NULL;
    options->data_count = 0;
    options->tokenizer = NULL;
    options->init = NULL;
}

/* Interleaved stages take micro-batches in rounds of as many as there are stages. `share`: samples of
 * one of the shares in a step. */
static int check_micros(const struct dt_options *o, long share, int shares, struct dt_error *err)
{
    long pp = o->mesh.pp, micro = o->micro_batch ? o->micro_batch : share;
    const struct dt_schedule_sizes sizes = {.stages = o->mesh.pp,
                                            .chunks = o->mesh.chunks > 1 ? o->mesh.chunks : 1,
                                            .micros = (int)(share / micro)};
    if (dt_schedule_fits(&sizes))
        return 0;
    if (share % pp != 0)
        return dt_error_set(err,
                            "--pp-chunks %d wants a multiple of --pp %ld micro-batches a step, and "
                            "a rank has %ld samples; the nearest that fits is --global-batch %ld",
                            sizes.chunks, pp, share, (share + pp - 1) / pp * pp * shares);
    return dt_error_set(err,
                        "--pp-chunks %d wants a multiple of --pp %ld micro-batches a step, and "
                        "there are %d; the nearest that fits is --micro-batch %ld",
                        sizes.chunks, pp, sizes.micros, dt_nearest_divisor(share / pp, micro));
}

int dt_options_check(const struct dt_options *o, int shares, struct dt_error *err)
{
    if (o->global_batch % shares != 0) {
        long below = o->global_batch / shares * shares, above = below + shares;
        long nearest =
            below > 0 && o->global_batch - below <= above - o->global_batch ? below : above;
        return dt_error_set(err,
                            "--global-batch %ld can not be shared by %d ranks evenly; the "
                            "nearest that can is --global-batch %ld",
                            o->global_batch, shares, nearest);
    }
    long share = o->global_batch / shares;
    if (o->micro_batch && share % o->micro_batch != 0)
        return dt_error_set(err,
                            "--micro-batch %ld does not divide the %ld samples of a rank; the "
                            "nearest that does is --micro-batch %ld",
                            o->micro_batch, share, dt_nearest_divisor(share, o->micro_batch));
    return check_micros(o, share, shares, err);
}

char *dt_options_text(const struct dt_options *o)
{
    struct dt_buf text = DT_BUF_INIT;
    for (size_t i = 0; i < row_count; i++)
        if (rows[i]->compared != DT_MAY_DIFFER)
            dt_option_print(&text, o, rows[i]);
    return dt_buf_take(&text);
}
