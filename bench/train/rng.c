/* SPDX-License-Identifier: Apache-2.0 */
/* Counter-based random numbers: mixing functions over (seed, stream, index), see rng.h. */
#include "rng.h"

static uint64_t mix(uint64_t x)
{
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93u;
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93u;
    return x ^ (x >> 32);
}

uint64_t dt_rng_bits(uint64_t seed, uint64_t stream, uint64_t index)
{
    uint64_t key = mix(mix(seed + 0x9e3779b97f4a7c15u) + stream);
    return mix(mix(index + 0xbf58476d1ce4e5b9u) + key);
}

void dt_rng_fill(real *values, size_t first, size_t count, double deviation, uint64_t seed,
                 uint64_t stream)
{
    /* four 16-bit numbers: mean 2 * 65535, variance (65536^2 - 1) / 3 */
    const double scale = deviation / 37837.227104630174;
#pragma omp parallel for schedule(static) if (count > 4096)
    for (size_t i = 0; i < count; i++) {
        uint64_t bits = dt_rng_bits(seed, stream, first + i);
        long sum = (long)(bits & 0xffff) + (long)(bits >> 16 & 0xffff) +
                   (long)(bits >> 32 & 0xffff) + (long)(bits >> 48);
        values[i] = (real)((double)(sum - 131070) * scale);
    }
}

/* A four-round Feistel network over the next even power of two, walked until it is in range: less
 * than four turns on average, and each value is hit exactly once. */
uint64_t dt_rng_permute(uint64_t index, uint64_t count, uint64_t key)
{
    if (count < 2)
        return 0;
    unsigned half = 1;
    while (half < 31 && (1ull << (2 * half)) < count)
        half++;
    uint64_t mask = (1ull << half) - 1;
    uint64_t value = index;
    do {
        uint64_t left = value >> half;
        uint64_t right = value & mask;
        for (uint64_t round = 0; round < 4; round++) {
            uint64_t next = left ^ (dt_rng_bits(key, round, right) & mask);
            left = right;
            right = next;
        }
        value = left << half | right;
    } while (value >= count);
    return value;
}
