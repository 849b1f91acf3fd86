/* SPDX-License-Identifier: Apache-2.0 */
/* Files of tokens as llm.c's data scripts write them: a header of 256 32-bit numbers (magic number,
 * version, count of tokens), then the tokens, 16 bits each, in the byte order of x86. */
#ifndef DT_TRAIN_SHARD_H
#define DT_TRAIN_SHARD_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define DT_SHARD_HEADER 1024 /* bytes */

/* Judge the first `size` bytes of a file of `file_size` bytes. Returns 1: a shard of *tokens; 0: not
 * one (its magic number is missing); -1: one that can not be used. */
int dt_shard_parse(uint64_t *tokens, const void *header, size_t size, uint64_t file_size,
                   struct dt_error *err);

#endif
