/* SPDX-License-Identifier: Apache-2.0 */
/* Four lanes of multiply and rotate over 32-byte strides, folded; see hash.h. Each step of a lane
 * is a bijection of what it held, so that one changed word always changes the result of its lane.
 */
#include "hash.h"

#include <string.h>

#define MULTIPLIER 0x9ddfea08eb382d69u

static uint64_t step(uint64_t lane, uint64_t word)
{
    lane = (lane ^ word) * MULTIPLIER;
    return lane << 29 | lane >> 35;
}

uint64_t dt_hash(const void *data, size_t bytes, uint64_t seed)
{
    const unsigned char *at = data;
    seed *= MULTIPLIER; /* small data could cancel a small seed, in all lanes alike */
    uint64_t lane[4] = {seed + 1, seed + 2, seed + 3, seed ^ bytes};
    size_t left = bytes;
    for (; left >= 32; left -= 32, at += 32) {
        uint64_t word[4];
        memcpy(word, at, sizeof word);
        for (int i = 0; i < 4; i++)
            lane[i] = step(lane[i], word[i]);
    }
    uint64_t rest[4] = {0};
    if (left > 0)
        memcpy(rest, at, left);
    uint64_t sum = 0;
    for (int i = 0; i < 4; i++)
        sum = step(sum, step(lane[i], rest[i]));
    return sum ^ sum >> 32;
}
