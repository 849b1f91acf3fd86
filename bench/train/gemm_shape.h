/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the built-in matrix product: what a vector class brings along, and how its operands are
 * packed. A packed operand is counted in words of the size of a real, whatever lies in them: a real,
 * or two numbers in bf16 that follow each other along the sum. */
#ifndef DT_TRAIN_GEMM_SHAPE_H
#define DT_TRAIN_GEMM_SHAPE_H

#include "gemm.h"

/* A tile of C: rows x columns. a, b: a panel of each, `words` deep. */
typedef void dt_gemm_tile(size_t words, const real *a, const real *b, bool accumulate, real *c,
                          size_t ldc);

/* Panels of `width` rows of A, or columns of B, from an operand of count x depth as it lies in
 * memory: with `rows`, element (i, p) at source[i * step + p], else at source[i + p * step]. The last
 * panel is filled up with zeros. */
typedef void dt_gemm_pack(real *restrict out, const real *restrict source, bool rows, size_t count,
                          size_t depth, size_t width, size_t step);

struct dt_gemm_shape {
    const char *name;
    dt_gemm_tile *tile;
    size_t rows, columns;
    dt_gemm_pack *pack_a, *pack_b;
    /* elements in a word, words of each element, and the words of which a panel's depth is a multiple:
     * with parts, a part's */
    size_t per_word, parts, unit;
    void (*begin)(void),
        (*end)(void); /* around the tiles of a product, in its thread; NULL: none */
};

enum { DT_GEMM_DEPTH = 256 }; /* words of a panel: a tile's strips of A and B stay in L1 */

/* Operands lie in strides that the CPU does not foresee, and may be in no cache: what comes next is
 * asked for while this is packed. Beyond the end it costs nothing. */
static inline void dt_gemm_ahead(const real *at)
{
    __builtin_prefetch(at);
}

/* Words as they are, one an element. */
dt_gemm_pack dt_gemm_pack_words;

#ifndef DT_TRAIN_DOUBLE
/* gemm_bf16.c: elements are rounded to bf16 while they are packed. Rounded: one a word, in fp32, for
 * the tiles of fp32. */
dt_gemm_pack dt_gemm_pack_rounded;
#ifdef __x86_64__
dt_gemm_pack dt_gemm_pack_pairs; /* two a word */
dt_gemm_pack dt_gemm_pack_amx_a, dt_gemm_pack_amx_b;
dt_gemm_tile dt_gemm_tile_bf16, dt_gemm_tile_amx;
/* gemm_parts.c: elements as the sum of three of bf16. begin, end and usable are those of AMX. */
dt_gemm_pack dt_gemm_pack_parts_a, dt_gemm_pack_parts_b;
dt_gemm_tile dt_gemm_tile_parts;
void dt_gemm_amx_begin(void), dt_gemm_amx_end(void);
bool dt_gemm_amx_usable(void);
#endif
#endif

#endif
