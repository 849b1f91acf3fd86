/* SPDX-License-Identifier: Apache-2.0 */
/* Training data: one or more files of text, whose bytes are the tokens or whose tokens a tokenizer
 * makes, or which are shards of tokens (shard.h), and which piece of them each sample is.
 *
 * A sample is seq + 1 tokens: inputs, and the same one later as targets. Windows of an epoch are
 * visited in an order that is a function of (seed, epoch) alone, each once; sample number n of step
 * s is window s * global_batch + n of that endless order. So any number of ranks reads the same
 * stream, each sample by exactly one of them, and a resumed run goes on where it was. */
#ifndef DT_TRAIN_DATA_H
#define DT_TRAIN_DATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "tokenizer/tokenizer.h"

struct dt_data_file {
    char *path;
    int fd;
    uint64_t begin, size; /* place in the whole, in tokens */
};

struct dt_data {
    struct dt_data_file *files;
    size_t file_count;
    uint64_t size;  /* tokens of all files */
    uint64_t train; /* of these, for training; the rest is for evaluation */
    size_t seq, vocab;
    size_t width; /* bytes of a token, the same in all files: 1 (text), 2 or 4; 0: no file yet */
    const struct dt_tokenizer *tokenizer; /* not owned */
    uint64_t seed;
    uint64_t fingerprint; /* of sizes and of some content: equal data, equal fingerprint */
    unsigned char *buffer;
};

struct dt_data_setup {
    size_t seq, vocab;
    uint64_t seed;
    bool held_out;                        /* keep the last tenth for evaluation */
    const struct dt_tokenizer *tokenizer; /* NULL: bytes of text are the tokens */
};

/* paths: files, or directories whose regular files are taken in the order of their names. */
int dt_data_open(struct dt_data *data, char *const *paths, size_t count,
                 const struct dt_data_setup *setup, struct dt_error *err);
void dt_data_close(struct dt_data *data);

/* Where in the training text sample `number` (counted over all steps) begins. */
uint64_t dt_data_place(const struct dt_data *data, uint64_t number);

/* Windows for evaluation. */
uint64_t dt_data_held_out(const struct dt_data *data);

/* Fill row `row` of tokens and targets (seq each) from the data at `place`. A token
 * that is not below vocab is an error. */
int dt_data_read(struct dt_data *data, uint64_t place, int *tokens, int *targets, size_t row,
                 struct dt_error *err);

/* All tokens, as a shard (shard.h), whole or not at all. */
int dt_data_write(const struct dt_data *data, const char *path, struct dt_error *err);

#endif
