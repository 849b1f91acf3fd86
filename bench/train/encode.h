/* SPDX-License-Identifier: Apache-2.0 */
/* Text files as shards of tokens: made in memory before the training, or written once and for all. */
#ifndef DT_TRAIN_ENCODE_H
#define DT_TRAIN_ENCODE_H

#include "tokenizer/tokenizer.h"

/* Replace *fd, of a text of `size` bytes, by one of a shard in memory, with the tokens of the text
 * and the tokenizer's end of text after them. Every byte below `size` is read. */
int dt_encode_file(int *fd, uint64_t size, const struct dt_tokenizer *tokenizer,
                   struct dt_error *err);

#endif
