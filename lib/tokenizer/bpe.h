/* SPDX-License-Identifier: Apache-2.0 */
/* Byte-pair encoding: of all neighbours in a piece of text, those that come first in the
 * vocabulary's order are made one, until none can be. Private to lib/tokenizer. */
#ifndef DT_TOKENIZER_BPE_H
#define DT_TOKENIZER_BPE_H

#include "tokenizer.h"
#include "vocabulary.h"

/* What a pair becomes, where only listed pairs are made one. */
struct dt_merge {
    uint32_t left, right, token;
    uint32_t rank;
};

struct dt_bpe {
    struct dt_vocabulary vocabulary;
    struct dt_merge *merges; /* hash table; NULL: neighbours become what their bytes together are */
    size_t merge_slots, merge_count;
    bool whole;            /* a piece that is a token is that, whatever the merges say */
    bool characters;       /* begins with characters of UTF-8 instead of bytes */
    uint32_t of_byte[256]; /* a byte that is no other token's */
    uint32_t end;          /* DT_NO_TOKEN: none */
};

void dt_bpe_init(struct dt_bpe *bpe);
void dt_bpe_fini(struct dt_bpe *bpe);

/* To the table of merges; the first of two that are equal counts. */
int dt_bpe_merge(struct dt_bpe *bpe, uint32_t left, uint32_t right, uint32_t token, uint32_t rank);

/* When all is read: the tokens of single bytes. Each byte must have one. */
int dt_bpe_finish(struct dt_bpe *bpe, struct dt_error *err);

/* Takes time like n log n of the piece's length. */
int dt_bpe_encode(const struct dt_bpe *bpe, const char *piece, size_t length,
                  struct dt_tokens *tokens);

#endif
