/* SPDX-License-Identifier: Apache-2.0 */
/* The header of a file of tokens: any bytes are a shard of just that many tokens, no shard, or one
 * that is refused with a sentence. */
#include "../../bench/train/shard.c"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dt_error err = {""};
    int32_t words[3] = {kinds[0].magic, kinds[0].version, 0};
    uint64_t tokens = 0;
    int rc = dt_shard_parse(&tokens, data, size, size, &err);
    if ((rc < 0 && !err.text[0]) || (rc > 0 && size != DT_SHARD_HEADER + (uint64_t)rc * tokens))
        abort();
    if (size < sizeof words)
        return 0;
    memcpy(&words[2], data, sizeof words[2]); /* right but for the count */
    err.text[0] = '\0';
    rc = dt_shard_parse(&tokens, words, sizeof words, DT_SHARD_HEADER + 2 * size, &err);
    if (rc == 0 || (rc < 0 && !err.text[0]) || (rc > 0 && tokens != size))
        abort();
    return 0;
}
