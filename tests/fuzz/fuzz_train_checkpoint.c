/* SPDX-License-Identifier: Apache-2.0 */
/* A checkpoint's header comes from a file that anyone may have written: any bytes must give a
 * judgement with a sentence. Headers are also tried with their magic number and checksum made
 * right, so that what stands behind them is reached. */
#include "../../bench/train/checkpoint.c"
#include "../../bench/train/config.c"
#include "../../bench/train/hash.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void judge(const void *block, size_t have, uint64_t file_size)
{
    struct dt_checkpoint_info info;
    struct dt_error err = {""};
    size_t count = 0;
    if (dt_checkpoint_parse(&info, &count, block, have, file_size, &err) < 0) {
        if (!err.text[0])
            abort();
    } else if (have < DT_CHECKPOINT_HEADER || count > file_size) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char block[DT_CHECKPOINT_HEADER] = {0};
    struct header header;
    size_t have = size < sizeof block ? size : sizeof block;
    memcpy(block, data, have);
    judge(block, have, size);
    memcpy(&header, block, sizeof header);
    header.magic = MAGIC;
    header.version = VERSION;
    header.self = header_sum(&header);
    memcpy(block, &header, sizeof header);
    judge(block, sizeof block, size);
    judge(block, sizeof block, DT_CHECKPOINT_HEADER + 3 * sizeof(real) * header.count);
    return 0;
}
