/* SPDX-License-Identifier: Apache-2.0 */
/* Readers of the files of public tokenizers, from memory. Private to lib/tokenizer, but for its
 * fuzz target. Each fills a tokenizer that is empty; its caller closes it in any case. */
#ifndef DT_TOKENIZER_READ_H
#define DT_TOKENIZER_READ_H

#include "bpe.h"
#include "split.h"

struct dt_tokenizer {
    struct dt_bpe bpe;
    struct dt_split *split; /* cuts text into the pieces that are encoded; NULL: no pattern does */
    bool by_line;           /* without a pattern: no token goes on after a line feed */
    bool space_first;       /* a space is put in front of a text */
};

/* Hugging Face's tokenizer.json */
int dt_read_json(struct dt_tokenizer *t, const char *text, size_t length, struct dt_error *err);

/* GPT-2's vocab.json and merges.txt */
struct dt_text {
    const char *text;
    size_t length;
};
int dt_read_vocabulary(struct dt_tokenizer *t, struct dt_text words, struct dt_text merges,
                       struct dt_error *err);

/* Llama 3's tokenizer.model: lines of base64 and rank */
int dt_read_ranks(struct dt_tokenizer *t, const char *text, size_t length, struct dt_error *err);

/* SentencePiece's tokenizer.model: a message of protocol buffers */
int dt_read_pieces(struct dt_tokenizer *t, const char *text, size_t length, struct dt_error *err);

#endif
