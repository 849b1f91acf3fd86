/* SPDX-License-Identifier: Apache-2.0 */
/* What products by AMX have in common: 32 x 32 of C lie in tiles 0 to 3, of 16 x 16 each, row by row. Only
 * for files that are compiled for x86. */
#ifndef DT_TRAIN_GEMM_AMX_H
#define DT_TRAIN_GEMM_AMX_H

#include <immintrin.h>
#include <stdbool.h>

#include "real.h"

#define AMX __attribute__((target("avx512f,amx-tile,amx-bf16")))

enum { DT_AMX_SIDE = 16 };

/* The tiles begin with C, or with zero. */
AMX static inline void dt_amx_take(const real *c, size_t ldc, bool accumulate)
{
    const size_t row = ldc * sizeof *c;
    const real *below = c + DT_AMX_SIDE * ldc;
    if (accumulate) {
        _tile_loadd(0, c, row);
        _tile_loadd(1, c + DT_AMX_SIDE, row);
        _tile_loadd(2, below, row);
        _tile_loadd(3, below + DT_AMX_SIDE, row);
    } else {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    }
}

AMX static inline void dt_amx_put(real *c, size_t ldc)
{
    const size_t row = ldc * sizeof *c;
    real *below = c + DT_AMX_SIDE * ldc;
    _tile_stored(0, c, row);
    _tile_stored(1, c + DT_AMX_SIDE, row);
    _tile_stored(2, below, row);
    _tile_stored(3, below + DT_AMX_SIDE, row);
}

#endif
