/* SPDX-License-Identifier: Apache-2.0 */
/* A table of tokens: number to bytes, and bytes to number. Private to lib/tokenizer. */
#ifndef DT_TOKENIZER_VOCABULARY_H
#define DT_TOKENIZER_VOCABULARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DT_NO_TOKEN    UINT32_MAX
#define DT_MOST_TOKENS (1u << 24) /* a larger number in a file is taken for damage */

struct dt_word {
    size_t at; /* in the arena */
    uint32_t length;
    bool known;  /* the number has a token */
    bool merges; /* text becomes it; special tokens are only decoded */
    double rank; /* the lower, the sooner it is made of two neighbours */
};

struct dt_vocabulary {
    struct dt_word *words; /* by number */
    size_t count, room;
    char *arena;
    size_t used, space;
    uint32_t *slots; /* hash table of the tokens that text becomes */
    size_t slot_count, filled;
};

/* The first of two tokens of equal bytes is the one that is found. -1: no memory, or a number that
 * is too high. */
int dt_vocabulary_add(struct dt_vocabulary *v, uint32_t token, const void *bytes, size_t length,
                      double rank, bool merges);
uint32_t dt_vocabulary_find(const struct dt_vocabulary *v, const void *bytes, size_t length);
void dt_vocabulary_fini(struct dt_vocabulary *v);

static inline const char *dt_vocabulary_bytes(const struct dt_vocabulary *v, uint32_t token)
{
    return v->arena + v->words[token].at;
}

#endif
