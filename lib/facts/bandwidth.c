/* SPDX-License-Identifier: Apache-2.0 */
/* How fast one core copies memory, for a comparison between nodes of a job: a node with a throttled
 * socket or a memory channel fewer stands out. Not a benchmark; dt-bench has those. */
#include <string.h>
#include <sys/mman.h>

#include "facts/reader.h"

enum { BUFFER_MIB = 64, MEASURE_US = 100000 };

void dt_read_bandwidth(struct dt_reader *reader)
{
    size_t size = (size_t)BUFFER_MIB << 20;
    char *memory = mmap(NULL, 2 * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        dt_reader_why(reader, "mem.copy_mib_s", "no 128 MiB of memory to measure with");
        return;
    }
    madvise(memory, 2 * size, MADV_HUGEPAGE);
    memset(memory, 1, 2 * size); /* pages are there before the clock runs */
    long long best_us = 0, start = dt_monotonic_us(), now = start;
    do {
        long long before = now;
        memcpy(memory, memory + size, size);
        __asm__ volatile("" : : "r"(memory) : "memory");
        now = dt_monotonic_us();
        /* The best round: interruptions only ever make a round slower. */
        if (best_us == 0 || now - before < best_us)
            best_us = now - before > 0 ? now - before : 1;
    } while (now - start < MEASURE_US);
    munmap(memory, 2 * size);
    dt_reader_int(reader, "mem.copy_mib_s", BUFFER_MIB * 1000000LL / best_us);
}
