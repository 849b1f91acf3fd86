/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of dt-train. */
#ifndef DT_TRAIN_OPTIONS_H
#define DT_TRAIN_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "activations.h"
#include "base/error.h"
#include "blas.h"
#include "comm.h"
#include "device.h"
#include "layout.h"
#include "import.h"
#include "mesh.h"
#include "tokenizer/tokenizer.h"

struct dt_options {
    char **data; /* pointers into argv */
    size_t data_count;
    const char *preset;
    struct dt_model_config model; /* filled */
    long steps, global_batch, micro_batch, warmup, save_every, validate_every, eval_every,
        print_every;
    unsigned long long seed;
    double rate, decay;
    double clip;  /* highest length of the gradient; 0: any */
    double spike; /* standard deviations of the loss that end the run; 0: none does */
    enum dt_blas_kind blas;
    int bf16; /* products of it; 0: of fp32 */
    enum dt_device_kind device;
    enum dt_comm_manner comm;
    struct dt_mesh_sizes mesh;
    enum dt_recompute recompute;
    int zero; /* 1 to 3: shards over --fsdp ranks; 0: copies */
    const char *checkpoint, *log, *export_to;
    bool resume;
    const char *tokenizer_path, *init_path;
    struct dt_tokenizer *tokenizer; /* of the first; owned */
    struct dt_import *init;         /* of the second; owned */
    const char *write_tokens;       /* write the tokens of the data there, and do no more */
    const char *prompt;
    long generate, top; /* tokens of text after the training; of so many most probable ones */
    double temperature;
};

/* Returns -1 with the sentence for a wrong command line. --help and --version print and exit. */
int dt_options_parse(struct dt_options *options, int argc, char **argv, struct dt_error *err);
void dt_options_fini(struct dt_options *options);

/* Does the batch fit so many shares of it (dt_mesh_shares)? The sentence names the nearest that does.
 */
int dt_options_check(const struct dt_options *options, int shares, struct dt_error *err);

/* What must be the same on every rank, "--name value" lines. Caller frees; NULL: no memory. */
char *dt_options_text(const struct dt_options *options);

#endif
