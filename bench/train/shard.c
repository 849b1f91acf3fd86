/* SPDX-License-Identifier: Apache-2.0 */
/* The header of a file of tokens; see shard.h. */
#include "shard.h"

#include <string.h>

#define MAGIC   20240520 /* llm.c: GPT-2's tokens; Llama 3's of 32 bits have another number */
#define VERSION 1

int dt_shard_parse(uint64_t *tokens, const void *header, size_t size, uint64_t file_size,
                   struct dt_error *err)
{
    int32_t words[3];
    if (size < sizeof words)
        return 0;
    memcpy(words, header, sizeof words);
    if (words[0] != MAGIC)
        return 0;
    if (words[1] != VERSION)
        return dt_error_set(err, "its tokens are of version %d, and this dt-train reads %d",
                            words[1], VERSION);
    if (words[2] < 0 || file_size != DT_SHARD_HEADER + 2 * (uint64_t)words[2])
        return dt_error_set(err,
                            "it is cut short or too long: its header speaks of %d tokens, and "
                            "it has %llu bytes",
                            words[2], (unsigned long long)file_size);
    *tokens = (uint64_t)words[2];
    return 1;
}
