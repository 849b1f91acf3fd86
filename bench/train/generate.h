/* SPDX-License-Identifier: Apache-2.0 */
/* Text from a trained model: one token after another, drawn by its probability. */
#ifndef DT_TRAIN_GENERATE_H
#define DT_TRAIN_GENERATE_H

#include <stdio.h>

#include "decoder.h"
#include "tokenizer/tokenizer.h"

struct dt_generate_setup {
    const char *prompt; /* not empty; NULL: as a text begins, after another or on a new line */
    long tokens;
    double temperature; /* 0: always the most probable */
    long top;           /* of so many most probable ones; 0: of all */
    unsigned long long seed;
    const struct dt_tokenizer *tokenizer; /* NULL: bytes are the tokens */
};

/* Writes the prompt and what follows it to `out` as it comes, up to the tokenizer's end of text. When
 * the context is full, its second half is what the model goes on from. */
int dt_generate(FILE *out, const struct dt_layout *layout, real *params, const struct dt_blas *blas,
                const struct dt_generate_setup *setup, struct dt_error *err);

/* The token of a number between 0 and 1: of the `top` highest logits, by temperature. Changes the
 * logits. */
int dt_generate_draw(real *logits, size_t vocab, double temperature, long top, double number);

#endif
