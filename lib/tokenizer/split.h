/* SPDX-License-Identifier: Apache-2.0 */
/* Cutting text into the pieces that are encoded one by one: words, numbers, marks, spaces. Private
 * to lib/tokenizer. */
#ifndef DT_TOKENIZER_SPLIT_H
#define DT_TOKENIZER_SPLIT_H

#include <stddef.h>

#include "base/error.h"

/* As published with the models. */
extern const char dt_split_gpt2[], dt_split_llama3[];

struct dt_split;

/* pattern: a regular expression; Unicode's letters and numbers count. NULL with err. */
struct dt_split *dt_split_open(const char *pattern, struct dt_error *err);
void dt_split_close(struct dt_split *split);

/* Calls `piece` for each match and for what is between matches, in order, until it returns < 0. */
int dt_split_each(const struct dt_split *split, const char *text, size_t length,
                  int (*piece)(void *context, const char *piece, size_t length), void *context,
                  struct dt_error *err);

#endif
