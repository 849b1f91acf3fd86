/* SPDX-License-Identifier: Apache-2.0 */
/* Packing of an operand into panels, a word an element; see gemm_shape.h. */
#include "gemm_shape.h"

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

/* Element by element in quads: panels are too narrow for a call of memcpy in each row, which is what a
 * plain loop is made into. */
static inline void copy_row(real *restrict out, const real *restrict from, size_t have)
{
    size_t j = 0;
    for (; j + 4 <= have; j += 4)
        *(quad *)(out + j) = *(const quad *)(from + j);
    for (; j < have; j++)
        out[j] = from[j];
}

/* Columns that lie side by side: each row is read through all panels, since the next one may be on
 * another page. */
static inline void pack_columns(real *restrict out, const real *restrict from, size_t count,
                                size_t depth, size_t width, size_t stride)
{
    for (size_t p = 0; p < depth; p++)
        for (size_t i = 0; i < count; i += width)
            copy_row(out + i * depth + p * width, from + p * stride + i,
                     count - i < width ? count - i : width);
}

DT_SIMD void dt_gemm_pack_words(real *restrict out, const real *restrict source, bool rows,
                                size_t count, size_t depth, size_t width, size_t step)
{
    size_t rest = count % width;
    if (rest)
        memset(out + (count - rest) * depth, 0, width * depth * sizeof *out);
    if (!rows)
        pack_columns(out, source, count, depth, width, step);
    else
        for (size_t i = 0; i < count; i += width)
            pack_rows(out + i * depth, source + i * step, count - i < width ? count - i : width,
                      depth, width, step);
}
