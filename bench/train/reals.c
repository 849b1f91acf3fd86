/* SPDX-License-Identifier: Apache-2.0 */
/* Large arrays; see reals.h. */
#include "reals.h"

#include <stdlib.h>

static _Thread_local size_t taken;

real *dt_reals(size_t count)
{
    if (count > SIZE_MAX / sizeof(real) / 2)
        return NULL;
    size_t bytes = (count * sizeof(real) + DT_ALIGN - 1) / DT_ALIGN * DT_ALIGN;
    real *at = aligned_alloc(DT_ALIGN, bytes);
    if (at) {
        memset(at, 0, bytes);
        taken += count;
    }
    return at;
}

size_t dt_reals_taken(void)
{
    return taken;
}

void dt_reals_note(size_t count)
{
    taken += count;
}
