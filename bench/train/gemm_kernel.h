/* SPDX-License-Identifier: Apache-2.0 */
/* Template, included by gemm.c once per vector class, of the innermost product: a tile of C of
 * KERNEL_ROWS x (KERNEL_VECTORS vectors), held in registers over the whole depth.
 * Wants KERNEL_NAME, KERNEL_TARGET, KERNEL_BYTES (of a vector), KERNEL_ROWS, KERNEL_VECTORS. */

#define KERNEL_LANES       (KERNEL_BYTES / (int)sizeof(real))
#define KERNEL_PASTE(a, b) a##b
#define KERNEL_TYPE(name)  KERNEL_PASTE(name, _vector)

typedef real KERNEL_TYPE(KERNEL_NAME)
    __attribute__((vector_size(KERNEL_BYTES), aligned(sizeof(real)), may_alias));

/* a: depth x rows, b: depth x columns, both packed without gaps. */
KERNEL_TARGET static void KERNEL_NAME(size_t depth, const real *restrict a, const real *restrict b,
                                      bool accumulate, real *restrict c, size_t ldc)
{
    typedef KERNEL_TYPE(KERNEL_NAME) vector;
    vector sum[KERNEL_ROWS][KERNEL_VECTORS] = {0};
    for (size_t p = 0; p < depth; p++) {
        vector right[KERNEL_VECTORS];
#pragma GCC unroll 16
        for (int j = 0; j < KERNEL_VECTORS; j++)
            right[j] = *(const vector *)(b + j * KERNEL_LANES);
#pragma GCC unroll 16
        for (int i = 0; i < KERNEL_ROWS; i++) {
            vector left = a[i] - (vector){0}; /* one number in every lane */
#pragma GCC unroll 16
            for (int j = 0; j < KERNEL_VECTORS; j++)
                sum[i][j] += left * right[j];
        }
        a += KERNEL_ROWS;
        b += KERNEL_VECTORS * KERNEL_LANES;
    }
#pragma GCC unroll 16
    for (int i = 0; i < KERNEL_ROWS; i++) {
#pragma GCC unroll 16
        for (int j = 0; j < KERNEL_VECTORS; j++) {
            vector *out = (vector *)(c + (size_t)i * ldc + j * KERNEL_LANES);
            if (accumulate)
                sum[i][j] += *out;
            *out = sum[i][j];
        }
    }
}

#undef KERNEL_LANES
#undef KERNEL_PASTE
#undef KERNEL_TYPE
#undef KERNEL_NAME
#undef KERNEL_TARGET
#undef KERNEL_BYTES
#undef KERNEL_ROWS
#undef KERNEL_VECTORS
