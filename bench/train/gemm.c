/* SPDX-License-Identifier: Apache-2.0 */
/* The built-in matrix product: operands are packed into panels that stay in cache, and a register
 * tile (gemm_kernel.h) runs over them. Tile sizes per vector class fill its registers. */
#include "gemm.h"

#define KERNEL_NAME tile_base
#define KERNEL_TARGET
#define KERNEL_BYTES   16
#define KERNEL_ROWS    4
#define KERNEL_VECTORS 2
#include "gemm_kernel.h"

#ifdef __x86_64__
#define KERNEL_NAME    tile_avx2
#define KERNEL_TARGET  __attribute__((target("avx2,fma")))
#define KERNEL_BYTES   32
#define KERNEL_ROWS    6
#define KERNEL_VECTORS 2
#include "gemm_kernel.h"

#define KERNEL_NAME    tile_avx512
#define KERNEL_TARGET  __attribute__((target("avx512f,avx2,fma")))
#define KERNEL_BYTES   64
#define KERNEL_ROWS    12
#define KERNEL_VECTORS 2
#include "gemm_kernel.h"
#endif

typedef void tile_function(size_t depth, const real *a, const real *b, bool accumulate, real *c,
                           size_t ldc);

static const struct shape {
    const char *name;
    tile_function *tile;
    size_t rows;
    size_t bytes; /* of a row of the tile */
} shapes[DT_GEMM_ISAS] = {
    [DT_GEMM_BASE] = {"128-bit vectors", tile_base, 4, 32},
#ifdef __x86_64__
    [DT_GEMM_AVX2] = {"AVX2", tile_avx2, 6, 64},
    [DT_GEMM_AVX512] = {"AVX-512", tile_avx512, 12, 128},
#endif
};

#define DEPTH   256 /* of a panel: a tile's strips of A and B stay in L1 */
#define ROWS    96  /* of A packed at once: 96 KiB, stays in L2; multiple of 4, 6, 12 */
#define COLUMNS 512 /* of B packed at once; multiple of every tile */
#define TILE    (12 * 128 / sizeof(real)) /* the largest */

bool dt_gemm_isa_usable(enum dt_gemm_isa isa)
{
    switch (isa) {
    case DT_GEMM_BASE:
        return true;
#ifdef __x86_64__
    case DT_GEMM_AVX2:
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case DT_GEMM_AVX512:
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("fma");
#endif
    default:
        return false;
    }
}

enum dt_gemm_isa dt_gemm_isa_best(void)
{
    int isa = DT_GEMM_ISAS - 1;
    while (!dt_gemm_isa_usable((enum dt_gemm_isa)isa))
        isa--;
    return (enum dt_gemm_isa)isa;
}

const char *dt_gemm_isa_name(enum dt_gemm_isa isa)
{
    return shapes[isa].name ? shapes[isa].name : "not of this architecture";
}

size_t dt_gemm_work_size(void)
{
    return ROWS * DEPTH + DEPTH * COLUMNS + TILE;
}

typedef real quad __attribute__((vector_size(4 * sizeof(real)), aligned(sizeof(real)), may_alias));

/* out[p][j] = from[j][p] for 4 x 4 elements, by shuffles: eight of them for sixteen stores. */
static inline void transpose_quad(real *out, size_t width, const real *from, size_t step)
{
    quad row[4];
    for (size_t j = 0; j < 4; j++)
        row[j] = *(const quad *)(from + j * step);
    quad low01 = __builtin_shufflevector(row[0], row[1], 0, 4, 1, 5);
    quad high01 = __builtin_shufflevector(row[0], row[1], 2, 6, 3, 7);
    quad low23 = __builtin_shufflevector(row[2], row[3], 0, 4, 1, 5);
    quad high23 = __builtin_shufflevector(row[2], row[3], 2, 6, 3, 7);
    *(quad *)out = __builtin_shufflevector(low01, low23, 0, 1, 4, 5);
    *(quad *)(out + width) = __builtin_shufflevector(low01, low23, 2, 3, 6, 7);
    *(quad *)(out + 2 * width) = __builtin_shufflevector(high01, high23, 0, 1, 4, 5);
    *(quad *)(out + 3 * width) = __builtin_shufflevector(high01, high23, 2, 3, 6, 7);
}

/* Panel of columns that lie in rows of `step` elements: turned round on the way. */
static inline void pack_rows(real *restrict out, const real *restrict from, size_t have,
                             size_t depth, size_t width, size_t step)
{
    size_t j = 0;
    for (; j + 4 <= have; j += 4) {
        size_t p = 0;
        for (; p + 4 <= depth; p += 4)
            transpose_quad(out + p * width + j, width, from + j * step + p, step);
        for (; p < depth; p++)
            for (size_t i = j; i < j + 4; i++)
                out[p * width + i] = from[i * step + p];
    }
    for (; j < have; j++)
        for (size_t p = 0; p < depth; p++)
            out[p * width + j] = from[j * step + p];
}

/* Panel of columns that lie side by side. Element by element in quads: panels are too narrow for a
 * call of memcpy in each row, which is what a plain loop is made into. */
static inline void pack_columns(real *restrict out, const real *restrict from, size_t have,
                                size_t depth, size_t width, size_t stride)
{
    for (size_t p = 0; p < depth; p++) {
        size_t j = 0;
        for (; j + 4 <= have; j += 4)
            *(quad *)(out + p * width + j) = *(const quad *)(from + p * stride + j);
        for (; j < have; j++)
            out[p * width + j] = from[p * stride + j];
    }
}

/* Panels of `width` columns of an operand of count x depth, as it lies in memory: with `rows`,
 * element (i, p) at source[i * step + p], else at source[i + p * step]. The last panel is filled up
 * with zeros. */
DT_SIMD static void pack(real *restrict out, const real *restrict source, bool rows, size_t count,
                         size_t depth, size_t width, size_t step)
{
    for (size_t i = 0; i < count; i += width) {
        size_t have = count - i < width ? count - i : width;
        if (have < width)
            memset(out, 0, width * depth * sizeof *out);
        if (rows)
            pack_rows(out, source + i * step, have, depth, width, step);
        else
            pack_columns(out, source + i, have, depth, width, step);
        out += width * depth;
    }
}

/* One tile of C that reaches over its edge: computed aside, and the inner part taken. */
static void edge_tile(const struct shape *shape, real *aside, size_t depth, const real *a,
                      const real *b, bool accumulate, real *c, size_t ldc, size_t m, size_t n)
{
    size_t width = shape->bytes / sizeof(real);
    shape->tile(depth, a, b, false, aside, width);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++)
            c[i * ldc + j] =
                accumulate ? c[i * ldc + j] + aside[i * width + j] : aside[i * width + j];
}

static void block(const struct shape *shape, real *aside, size_t m, size_t n, size_t depth,
                  const real *a, const real *b, bool accumulate, real *c, size_t ldc)
{
    size_t width = shape->bytes / sizeof(real);
    for (size_t j = 0; j < n; j += width) {
        for (size_t i = 0; i < m; i += shape->rows) {
            const real *left = a + i * depth;
            const real *right = b + j * depth;
            real *out = c + i * ldc + j;
            size_t have_m = m - i < shape->rows ? m - i : shape->rows;
            size_t have_n = n - j < width ? n - j : width;
            if (have_m == shape->rows && have_n == width)
                shape->tile(depth, left, right, accumulate, out, ldc);
            else
                edge_tile(shape, aside, depth, left, right, accumulate, out, ldc, have_m, have_n);
        }
    }
}

void dt_gemm_run(enum dt_gemm_isa isa, real *work, bool transpose_a, bool transpose_b, size_t m,
                 size_t n, size_t k, const real *a, size_t lda, const real *b, size_t ldb,
                 bool accumulate, real *c, size_t ldc)
{
    const struct shape *shape = &shapes[isa];
    real *packed_a = work;
    real *packed_b = work + ROWS * DEPTH;
    real *aside = packed_b + DEPTH * COLUMNS;
    for (size_t j = 0; j < n; j += COLUMNS) {
        size_t columns = n - j < COLUMNS ? n - j : COLUMNS;
        for (size_t p = 0; p < k; p += DEPTH) {
            size_t depth = k - p < DEPTH ? k - p : DEPTH;
            pack(packed_b, b + (transpose_b ? j * ldb + p : j + p * ldb), transpose_b, columns,
                 depth, shape->bytes / sizeof(real), ldb);
            for (size_t i = 0; i < m; i += ROWS) {
                size_t rows = m - i < ROWS ? m - i : ROWS;
                pack(packed_a, a + (transpose_a ? i + p * lda : i * lda + p), !transpose_a, rows,
                     depth, shape->rows, lda);
                block(shape, aside, rows, columns, depth, packed_a, packed_b, accumulate || p > 0,
                      c + i * ldc + j, ldc);
            }
        }
    }
}
