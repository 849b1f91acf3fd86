/* SPDX-License-Identifier: Apache-2.0 */
/* Large arrays; see reals.h. */
#include "reals.h"

#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { HUGE_PAGE = 2 << 20 };

static _Thread_local size_t taken;
static const struct dt_memory_source *source;

/* Products read rows that lie on a page each: with pages of 4 KiB the CPU spends 3 % of a step on
 * finding them. Where the system has no larger ones, the advice is ignored. */
static void *host_memory(size_t bytes)
{
    size_t align = bytes >= 2 * (size_t)HUGE_PAGE ? HUGE_PAGE : DT_ALIGN;
    bytes = (bytes + DT_ALIGN - 1) / DT_ALIGN * DT_ALIGN;
    void *at = NULL;
    if (posix_memalign(&at, align, bytes) != 0)
        return NULL;
    if (align == HUGE_PAGE)
        madvise(at, bytes, MADV_HUGEPAGE);
    memset(at, 0, bytes);
    return at;
}

void dt_memory_use(const struct dt_memory_source *other)
{
    source = other;
}

void *dt_memory(size_t bytes)
{
    return source ? source->take(bytes) : host_memory(bytes);
}

void dt_memory_free(void *memory)
{
    if (source && memory)
        source->give(memory);
    else
        free(memory);
}

static real *count_in(real *at, size_t count)
{
    taken += at ? count : 0;
    return at;
}

static bool is_sane(size_t count)
{
    return count <= SIZE_MAX / sizeof(real) / 2;
}

real *dt_reals(size_t count)
{
    return is_sane(count) ? count_in(dt_memory(count * sizeof(real)), count) : NULL;
}

real *dt_host_reals(size_t count)
{
    return is_sane(count) ? count_in(host_memory(count * sizeof(real)), count) : NULL;
}

size_t dt_reals_taken(void)
{
    return taken;
}

void dt_reals_note(size_t count)
{
    taken += count;
}
