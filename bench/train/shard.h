/* SPDX-License-Identifier: Apache-2.0 */
/* Files of tokens as llm.c's data scripts write them: a header of 256 32-bit numbers (magic number,
 * version, count of tokens), then the tokens, of 16 bits (GPT-2) or 32 (Llama 3), in the byte order
 * of x86. */
#ifndef DT_TRAIN_SHARD_H
#define DT_TRAIN_SHARD_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define DT_SHARD_HEADER 1024 /* bytes */

#define DT_SHARD_MOST INT32_MAX /* tokens */

/* Judge the first `size` bytes of a file of `file_size` bytes. Returns the bytes of a token, 2 or 4:
 * it is a shard of *tokens; 0: not one (its magic number is missing); -1: one that can not be used. */
int dt_shard_parse(uint64_t *tokens, const void *header, size_t size, uint64_t file_size,
                   struct dt_error *err);

/* The header of a shard of so many tokens, at most DT_SHARD_MOST, of `width` bytes each. */
void dt_shard_header(char header[DT_SHARD_HEADER], size_t width, uint64_t tokens);

#endif
