/* SPDX-License-Identifier: Apache-2.0 */
/* Training text: bytes of one or more files, and which piece of them each sample is.
 *
 * A sample is seq + 1 bytes: tokens, and the same one later as targets. Windows of an epoch are
 * visited in an order that is a function of (seed, epoch) alone, each once; sample number n of step
 * s is window s * global_batch + n of that endless order. So any number of ranks reads the same
 * stream, each sample by exactly one of them, and a resumed run goes on where it was. */
#ifndef DT_TRAIN_DATA_H
#define DT_TRAIN_DATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct dt_data_file {
    char *path;
    int fd;
    uint64_t begin, size; /* place in the whole */
};

struct dt_data {
    struct dt_data_file *files;
    size_t file_count;
    uint64_t size;  /* bytes of all files */
    uint64_t train; /* of these, for training; the rest is for evaluation */
    size_t seq;
    uint64_t seed;
    uint64_t fingerprint; /* of sizes and of some content: equal data, equal fingerprint */
    unsigned char *buffer;
};

/* paths: files, or directories whose regular files are taken in the order of their names. held_out:
 * keep the last tenth for evaluation. */
int dt_data_open(struct dt_data *data, char *const *paths, size_t count, size_t seq, bool held_out,
                 uint64_t seed, struct dt_error *err);
void dt_data_close(struct dt_data *data);

/* Where in the training text sample `number` (counted over all steps) begins. */
uint64_t dt_data_place(const struct dt_data *data, uint64_t number);

/* Windows for evaluation. */
uint64_t dt_data_held_out(const struct dt_data *data);

/* Fill row `row` of tokens and targets (seq each) from the text at `place`. */
int dt_data_read(struct dt_data *data, uint64_t place, int *tokens, int *targets, size_t row,
                 struct dt_error *err);

#endif
