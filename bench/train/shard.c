/* SPDX-License-Identifier: Apache-2.0 */
/* The header of a file of tokens; see shard.h. */
#include "shard.h"

#include <string.h>

/* Of llm.c's dev/data/data_common.py. */
static const struct kind {
    int32_t magic, version;
    int width;
} kinds[] = {{20240520, 1, 2}, {20240801, 7, 4}};

int dt_shard_parse(uint64_t *tokens, const void *header, size_t size, uint64_t file_size,
                   struct dt_error *err)
{
    int32_t words[3];
    if (size < sizeof words)
        return 0;
    memcpy(words, header, sizeof words);
    const struct kind *kind = &kinds[words[0] == kinds[1].magic];
    if (words[0] != kind->magic)
        return 0;
    if (words[1] != kind->version)
        return dt_error_set(err, "its tokens are of version %d, and this dt-train reads %d",
                            words[1], kind->version);
    if (words[2] < 0 || file_size != DT_SHARD_HEADER + (uint64_t)kind->width * (uint64_t)words[2])
        return dt_error_set(err,
                            "it is cut short or too long: its header speaks of %d tokens, and "
                            "it has %llu bytes",
                            words[2], (unsigned long long)file_size);
    *tokens = (uint64_t)words[2];
    return kind->width;
}

void dt_shard_header(char header[DT_SHARD_HEADER], size_t width, uint64_t tokens)
{
    const struct kind *kind = &kinds[width == 4];
    const int32_t words[3] = {kind->magic, kind->version, (int32_t)tokens};
    memset(header, 0, DT_SHARD_HEADER);
    memcpy(header, words, sizeof words);
}
