/* SPDX-License-Identifier: Apache-2.0 */
/* The built-in matrix product: no library, vectors of the width this machine has. */
#ifndef DT_TRAIN_GEMM_H
#define DT_TRAIN_GEMM_H

#include <stdbool.h>
#include <stddef.h>

#include "real.h"

/* Vector classes, worst first; each later one needs more of the machine. Those up to PARTS multiply
 * reals. From ROUNDED on operands are rounded to bf16, and sums made in fp32. PARTS and these are not
 * in a double build. */
enum dt_gemm_isa {
    DT_GEMM_BASE,
    DT_GEMM_AVX2,
    DT_GEMM_AVX512,
    DT_GEMM_PARTS,   /* fp32 by AMX, each number as a sum of three in bf16 */
    DT_GEMM_ROUNDED, /* by the tiles of fp32: where the CPU has no products of bf16 */
    DT_GEMM_ROUNDED_AVX2,
    DT_GEMM_ROUNDED_AVX512,
    DT_GEMM_BF16,
    DT_GEMM_AMX,
    DT_GEMM_ISAS
};

bool dt_gemm_isa_usable(enum dt_gemm_isa isa);
enum dt_gemm_isa dt_gemm_isa_best(enum dt_gemm_isa last); /* not beyond it */
const char *dt_gemm_isa_name(enum dt_gemm_isa isa);

/* Reals of work space that one thread needs. */
size_t dt_gemm_work_size(void);

/* Row-major, one thread: C(m x n) = op(A)(m x k) * op(B)(k x n) [+ C]. op transposes when the flag
 * is set: then A is stored k x m, B n x k. lda, ldb, ldc: elements from row to row as stored. */
void dt_gemm_run(enum dt_gemm_isa isa, real *work, bool transpose_a, bool transpose_b, size_t m,
                 size_t n, size_t k, const real *a, size_t lda, const real *b, size_t ldb,
                 bool accumulate, real *c, size_t ldc);

#endif
