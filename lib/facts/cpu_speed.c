/* SPDX-License-Identifier: Apache-2.0 */
/* How fast one core computes, for a comparison between nodes: a socket that is throttled, or whose
 * clock is capped, stands out. Nothing is loaded from memory, and each turn needs the one before, so
 * that only the clock counts. Not a benchmark. */
#include <stdint.h>

#include "facts/probe.h"
#include "facts/speed.h"

enum { TURNS = 1000, UNITS = 500, MEASURE_US = 50000 };

static uint64_t work(uint64_t integer)
{
    double real = (double)(integer & 0xff);
    for (int i = 0; i < TURNS; i++) {
        integer = integer * 6364136223846793005ULL + 1442695040888963407ULL;
        integer ^= integer >> 33;
        real = real * 0.999 + 1.0;
    }
    return integer + (uint64_t)real;
}

long long dt_measure_cpu(void)
{
    long long start = dt_monotonic_us(), now = start, best_us = 0;
    volatile uint64_t kept = 1;
    do {
        long long before = now;
        for (int i = 0; i < UNITS; i++)
            kept = work(kept);
        now = dt_monotonic_us();
        /* The best round: interruptions only ever make a round slower. */
        if (best_us == 0 || now - before < best_us)
            best_us = now - before > 0 ? now - before : 1;
    } while (now - start < MEASURE_US);
    return UNITS * 1000000LL / best_us;
}
