/* SPDX-License-Identifier: Apache-2.0 */
/* Text to tokens and back, by the vocabularies of public models, from their own files:
 *
 *   tokenizer.json           Hugging Face's, byte-level BPE (GPT-2, Llama 3, ...)
 *   vocab.json, merges.txt   GPT-2's, beside each other
 *   tokenizer.model          Llama 3's: base64 of each token and its rank, in lines
 *   tokenizer.model          Llama 1 and 2's: SentencePiece, BPE
 *
 * Text is bytes: what is not UTF-8 is encoded, too, and comes back as it was. Special tokens are
 * never made from text, only decoded. Where no file is given the bytes are the tokens. */
#ifndef DT_TOKENIZER_H
#define DT_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct dt_tokenizer;

/* Tokens, growing. Caller frees `list`. */
struct dt_tokens {
    uint32_t *list;
    size_t count, room;
};

int dt_tokens_add(struct dt_tokens *tokens, uint32_t token); /* -1: no memory */

/* path: one of the files above, or a directory with one. Close with dt_tokenizer_close. */
int dt_tokenizer_open(struct dt_tokenizer **tokenizer, const char *path, struct dt_error *err);
void dt_tokenizer_close(struct dt_tokenizer *tokenizer); /* NULL: nothing */

/* The highest token, plus one: what a model's vocabulary must hold at least. */
size_t dt_tokenizer_size(const struct dt_tokenizer *tokenizer);

/* The token that ends a text, or -1. */
int dt_tokenizer_end(const struct dt_tokenizer *tokenizer);

/* Appends the tokens of the text. On failure what was appended stays. */
int dt_tokenizer_encode(const struct dt_tokenizer *tokenizer, const void *text, size_t length,
                        struct dt_tokens *tokens, struct dt_error *err);

/* The bytes of a token, in the tokenizer's memory; none for one that it does not know. `first`: the
 * token begins a text (SentencePiece writes a space in front of one, which is then left out). */
const char *dt_tokenizer_bytes(const struct dt_tokenizer *tokenizer, uint32_t token, bool first,
                               size_t *length);

#endif
