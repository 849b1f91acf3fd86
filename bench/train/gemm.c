/* SPDX-License-Identifier: Apache-2.0 */
/* The built-in matrix product: operands are packed into panels that stay in cache, and a register
 * tile (gemm_kernel.h, gemm_bf16.c) runs over them. Tile sizes per vector class fill its registers. */
#include "gemm.h"

#include "gemm_shape.h"

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

static const struct dt_gemm_shape shapes[DT_GEMM_ISAS] = {
    [DT_GEMM_BASE] = {"128-bit vectors", tile_base, 4, 32 / sizeof(real), dt_gemm_pack_words,
                      dt_gemm_pack_words, 1, 1, 1, NULL, NULL},
#ifdef __x86_64__
    [DT_GEMM_AVX2] = {"AVX2", tile_avx2, 6, 64 / sizeof(real), dt_gemm_pack_words,
                      dt_gemm_pack_words, 1, 1, 1, NULL, NULL},
    [DT_GEMM_AVX512] = {"AVX-512", tile_avx512, 12, 128 / sizeof(real), dt_gemm_pack_words,
                        dt_gemm_pack_words, 1, 1, 1, NULL, NULL},
#endif
#ifndef DT_TRAIN_DOUBLE
#ifdef __x86_64__
    [DT_GEMM_PARTS] = {"AMX, fp32 in parts", dt_gemm_tile_parts, 32, 32, dt_gemm_pack_parts_a,
                       dt_gemm_pack_parts_b, 2, 3, 16, dt_gemm_amx_begin, dt_gemm_amx_end},
#endif
    [DT_GEMM_ROUNDED] = {"rounded to bf16, 128-bit vectors", tile_base, 4, 8, dt_gemm_pack_rounded,
                         dt_gemm_pack_rounded, 1, 1, 1, NULL, NULL},
#ifdef __x86_64__
    [DT_GEMM_ROUNDED_AVX2] = {"rounded to bf16, AVX2", tile_avx2, 6, 16, dt_gemm_pack_rounded,
                              dt_gemm_pack_rounded, 1, 1, 1, NULL, NULL},
    [DT_GEMM_ROUNDED_AVX512] = {"rounded to bf16, AVX-512", tile_avx512, 12, 32,
                                dt_gemm_pack_rounded, dt_gemm_pack_rounded, 1, 1, 1, NULL, NULL},
    [DT_GEMM_BF16] = {"AVX512_BF16", dt_gemm_tile_bf16, 12, 32, dt_gemm_pack_pairs,
                      dt_gemm_pack_pairs, 2, 1, 1, NULL, NULL},
    [DT_GEMM_AMX] = {"AMX", dt_gemm_tile_amx, 32, 32, dt_gemm_pack_amx_a, dt_gemm_pack_amx_b, 2, 1,
                     16, dt_gemm_amx_begin, dt_gemm_amx_end},
#endif
#endif
};

/* Of the operand with fewer rows or columns as much is packed at once as stays in L2 (of AMX machines:
 * of their 2 MiB), of the other one a block of BLOCK at a time. Multiples of every tile. */
enum { KEPT = 576 * DT_GEMM_DEPTH, KEPT_PARTS = 1280 * DT_GEMM_DEPTH /* words */ };
enum { FEW = 4 }; /* rows or columns that are not worth cutting the other operand into parts */
enum { BLOCK = 96, MOST_KEPT = 960 /* rows or columns */, TILE = 32 * 32 /* the largest */ };

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
#ifndef DT_TRAIN_DOUBLE
    case DT_GEMM_ROUNDED:
        return true;
#ifdef __x86_64__
    case DT_GEMM_ROUNDED_AVX2:
        return dt_gemm_isa_usable(DT_GEMM_AVX2);
    case DT_GEMM_ROUNDED_AVX512:
        return dt_gemm_isa_usable(DT_GEMM_AVX512);
    case DT_GEMM_PARTS:
        return dt_gemm_isa_usable(DT_GEMM_AMX);
    case DT_GEMM_BF16:
        return __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512vl");
    case DT_GEMM_AMX:
        return dt_gemm_amx_usable();
#endif
#endif
    default:
        return false;
    }
}

enum dt_gemm_isa dt_gemm_isa_best(enum dt_gemm_isa last)
{
    int isa = (int)last;
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
    return (size_t)KEPT_PARTS + (size_t)BLOCK * DT_GEMM_DEPTH + TILE;
}

/* One tile of C that reaches over its edge: computed aside, and the inner part taken. */
static void edge_tile(const struct dt_gemm_shape *shape, real *aside, size_t words, const real *a,
                      const real *b, bool accumulate, real *c, size_t ldc, size_t m, size_t n)
{
    size_t width = shape->columns;
    shape->tile(words, a, b, false, aside, width);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++)
            c[i * ldc + j] =
                accumulate ? c[i * ldc + j] + aside[i * width + j] : aside[i * width + j];
}

static void block(const struct dt_gemm_shape *shape, real *aside, size_t m, size_t n, size_t words,
                  const real *a, const real *b, bool accumulate, real *c, size_t ldc)
{
    for (size_t j = 0; j < n; j += shape->columns) {
        for (size_t i = 0; i < m; i += shape->rows) {
            const real *left = a + i * words;
            const real *right = b + j * words;
            real *out = c + i * ldc + j;
            size_t have_m = m - i < shape->rows ? m - i : shape->rows;
            size_t have_n = n - j < shape->columns ? n - j : shape->columns;
            if (have_m == shape->rows && have_n == shape->columns)
                shape->tile(words, left, right, accumulate, out, ldc);
            else
                edge_tile(shape, aside, words, left, right, accumulate, out, ldc, have_m, have_n);
        }
    }
}

struct operand {
    const real *source;
    bool rows;
    size_t count, step; /* rows of A, columns of B */
    size_t width;       /* of a panel */
    dt_gemm_pack *pack;
};

static void pack(const struct operand *from, real *out, size_t begin, size_t count, size_t p,
                 size_t depth)
{
    size_t at = from->rows ? begin * from->step + p : begin + p * from->step;
    from->pack(out, from->source + at, from->rows, count, depth, from->width, from->step);
}

/* How the sum is cut: panels of `depth` elements in `words`, and as many of them at once that of the
 * kept operand `wide` rows or columns fit. */
struct cut {
    size_t depth, words, wide, panels;
};

static struct cut cut_sum(const struct dt_gemm_shape *shape, size_t kept, size_t k)
{
    size_t deep = shape->parts * shape->unit, unit = shape->per_word * shape->unit;
    size_t most = DT_GEMM_DEPTH / deep * unit, count = (k + most - 1) / most;
    size_t capacity = shape->parts > 1 ? KEPT_PARTS : KEPT;
    struct cut cut = {.depth = ((k + count - 1) / count + unit - 1) / unit * unit};
    cut.words = cut.depth / unit * deep;
    cut.wide = capacity / DT_GEMM_DEPTH;
    cut.wide = cut.wide < MOST_KEPT ? cut.wide : MOST_KEPT;
    cut.wide = cut.wide < kept ? cut.wide : kept;
    cut.panels = capacity / ((cut.wide + shape->rows + shape->columns) * cut.words);
    cut.panels = cut.panels > 0 ? cut.panels : 1;
    return cut;
}

struct product {
    const struct dt_gemm_shape *shape;
    const struct operand *kept, *other;
    struct cut cut;
    size_t k, ldc;
    bool keep_left, accumulate;
    real *packed_kept, *packed_other, *aside, *c;
};

/* Rows or columns i, `wide` of them, of the kept operand by all of the other; the sum's elements from
 * p, `span` of them. */
static void strip(const struct product *x, size_t i, size_t wide, size_t p, size_t span)
{
    const struct cut *cut = &x->cut;
    size_t panel = (wide + x->kept->width - 1) / x->kept->width * x->kept->width * cut->words;
    for (size_t q = 0; q < span; q += cut->depth)
        pack(x->kept, x->packed_kept + q / cut->depth * panel, i, wide, p + q,
             span - q < cut->depth ? span - q : cut->depth);
    for (size_t j = 0; j < x->other->count; j += BLOCK) {
        size_t narrow = x->other->count - j < BLOCK ? x->other->count - j : BLOCK;
        for (size_t q = 0; q < span; q += cut->depth) {
            size_t depth = span - q < cut->depth ? span - q : cut->depth;
            size_t deep = x->shape->parts * x->shape->unit;
            size_t unit = x->shape->per_word * x->shape->unit;
            size_t words = (depth + unit - 1) / unit * deep;
            const real *kept = x->packed_kept + q / cut->depth * panel;
            bool add = x->accumulate || p + q > 0;
            pack(x->other, x->packed_other, j, narrow, p + q, depth);
            if (x->keep_left)
                block(x->shape, x->aside, wide, narrow, words, kept, x->packed_other, add,
                      x->c + i * x->ldc + j, x->ldc);
            else
                block(x->shape, x->aside, narrow, wide, words, x->packed_other, kept, add,
                      x->c + j * x->ldc + i, x->ldc);
        }
    }
}

void dt_gemm_run(enum dt_gemm_isa isa, real *work, bool transpose_a, bool transpose_b, size_t m,
                 size_t n, size_t k, const real *a, size_t lda, const real *b, size_t ldb,
                 bool accumulate, real *c, size_t ldc)
{
    if (isa == DT_GEMM_PARTS && (m < FEW || n < FEW))
        isa = DT_GEMM_AVX512;
    const struct dt_gemm_shape *shape = &shapes[isa];
    const struct operand left = {a, !transpose_a, m, lda, shape->rows, shape->pack_a};
    const struct operand right = {b, transpose_b, n, ldb, shape->columns, shape->pack_b};
    bool keep_left = m < n;
    struct product x = {.shape = shape,
                        .kept = keep_left ? &left : &right,
                        .other = keep_left ? &right : &left,
                        .k = k,
                        .ldc = ldc,
                        .keep_left = keep_left,
                        .accumulate = accumulate,
                        .packed_kept = work,
                        .packed_other = work + KEPT_PARTS,
                        .c = c};
    x.aside = x.packed_other + BLOCK * DT_GEMM_DEPTH;
    x.cut = cut_sum(shape, x.kept->count, k);
    size_t span = x.cut.panels * x.cut.depth;
    if (shape->begin)
        shape->begin();
    for (size_t i = 0; i < x.kept->count; i += x.cut.wide)
        for (size_t p = 0; p < k; p += span)
            strip(&x, i, x.kept->count - i < x.cut.wide ? x.kept->count - i : x.cut.wide, p,
                  k - p < span ? k - p : span);
    if (shape->end)
        shape->end();
}
