/* SPDX-License-Identifier: Apache-2.0 */
/* Products of fp32 by AMX, which multiplies bf16 only: each number is cut, on its way into a panel, in
 * three parts of bf16 whose sum it is (8 bits each of the 24), and of the nine products of parts the
 * six that fp32 can tell are summed, in fp32. What is left out is below 2^-25 of a product; rounding
 * a sum in fp32 costs more. An infinite number becomes NaN. */
#include "gemm_shape.h"

#if defined(__x86_64__) && !defined(DT_TRAIN_DOUBLE)
#include "gemm_amx.h"

#define SPLIT __attribute__((target("avx512f,avx512bw")))

/* A group: 16 rows of A, or columns of B, times 32 elements along the sum, as a tile for each part. */
enum { LANES = 16, DEEP = 2 * LANES, TILE = LANES * LANES, PARTS = 3, GROUP = PARTS * TILE };
enum { LINE = LANES * sizeof(real) };

static inline __mmask16 first(size_t count)
{
    return count >= LANES ? (__mmask16)-1 : (__mmask16)((1U << count) - 1);
}

/* The upper halves of the lanes are the parts. The last one is cut off, not rounded: nothing is below
 * it, and a NaN whose bits rounding would carry away stays one there. */
struct parts {
    __m512i part[PARTS];
};

SPLIT static inline struct parts split(__m512 x)
{
    const __m512i half = _mm512_set1_epi32(0x8000), upper = _mm512_set1_epi32((int)0xffff0000);
    struct parts p;
    p.part[0] = _mm512_add_epi32((__m512i)x, half);
    x = _mm512_sub_ps(x, (__m512)_mm512_and_si512(p.part[0], upper));
    p.part[1] = _mm512_add_epi32((__m512i)x, half);
    x = _mm512_sub_ps(x, (__m512)_mm512_and_si512(p.part[1], upper));
    p.part[2] = (__m512i)x;
    return p;
}

/* Elements that are neighbours in each row make a word: out[part][row][word]. */
SPLIT static void split_rows(real *out, const real *from, size_t have, size_t depth, size_t step)
{
    const __m512i odd =
        _mm512_set_epi16(63, 61, 59, 57, 55, 53, 51, 49, 47, 45, 43, 41, 39, 37, 35, 33, 31, 29, 27,
                         25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1);
    __mmask16 low = first(depth), high = depth > LANES ? first(depth - LANES) : 0;
    for (size_t i = 0; i < have; i++) {
        dt_gemm_ahead(from + (i + LANES) * step);
        dt_gemm_ahead(from + (i + LANES) * step + LANES);
        const struct parts left = split(_mm512_maskz_loadu_ps(low, from + i * step));
        const struct parts right = split(_mm512_maskz_loadu_ps(high, from + i * step + LANES));
#pragma GCC unroll 3
        for (int p = 0; p < PARTS; p++)
            _mm512_store_si512(out + p * TILE + i * LANES,
                               _mm512_permutex2var_epi16(left.part[p], odd, right.part[p]));
    }
    for (int p = 0; p < PARTS; p++)
        memset(out + p * TILE + have * LANES, 0, (LANES - have) * LANES * sizeof *out);
}

/* Elements of two rows make a word: out[part][word][column]. */
SPLIT static void split_columns(real *out, const real *from, size_t have, size_t depth, size_t step)
{
    const __m512i upper = _mm512_set1_epi32((int)0xffff0000);
    for (size_t w = 0; w < LANES; w++) {
        __mmask16 even = 2 * w < depth ? first(have) : 0, odd = 2 * w + 1 < depth ? first(have) : 0;
        dt_gemm_ahead(from + (2 * w + DEEP) * step);
        dt_gemm_ahead(from + (2 * w + 1 + DEEP) * step);
        const struct parts above = split(_mm512_maskz_loadu_ps(even, from + 2 * w * step));
        const struct parts below = split(_mm512_maskz_loadu_ps(odd, from + (2 * w + 1) * step));
#pragma GCC unroll 3
        for (int p = 0; p < PARTS; p++)
            _mm512_store_si512(out + p * TILE + w * LANES,
                               _mm512_or_si512(_mm512_srli_epi32(above.part[p], 16),
                                               _mm512_and_si512(below.part[p], upper)));
    }
}

/* A tile's words, rows to columns: neighbours by pairs of words, of two words, of four, of eight. */
SPLIT static void turn(real *tile)
{
    __m512 r[LANES], t[LANES];
#pragma GCC unroll 16
    for (int i = 0; i < LANES; i++)
        r[i] = _mm512_load_ps(tile + i * LANES);
#pragma GCC unroll 8
    for (int i = 0; i < LANES; i += 2) {
        t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < LANES; i += 4)
#pragma GCC unroll 2
        for (int j = 0; j < 2; j++) {
            __m512d above = (__m512d)t[i + j], below = (__m512d)t[i + j + 2];
            r[i + 2 * j] = (__m512)_mm512_unpacklo_pd(above, below);
            r[i + 2 * j + 1] = (__m512)_mm512_unpackhi_pd(above, below);
        }
#pragma GCC unroll 2
    for (int i = 0; i < LANES; i += 8)
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) {
            t[i + j] = _mm512_shuffle_f32x4(r[i + j], r[i + j + 4], 0x88);
            t[i + j + 4] = _mm512_shuffle_f32x4(r[i + j], r[i + j + 4], 0xdd);
        }
#pragma GCC unroll 8
    for (int j = 0; j < 8; j++) {
        _mm512_store_ps(tile + j * LANES, _mm512_shuffle_f32x4(t[j], t[j + 8], 0x88));
        _mm512_store_ps(tile + (j + 8) * LANES, _mm512_shuffle_f32x4(t[j], t[j + 8], 0xdd));
    }
}

static void pack_parts(real *restrict out, const real *restrict source, bool rows, size_t count,
                       size_t depth, size_t width, size_t step, bool turned)
{
    size_t all = (count + width - 1) / width * width, groups = (depth + DEEP - 1) / DEEP;
    size_t panels = all / LANES;
    for (size_t n = 0; n < panels * groups; n++) { /* along what lies side by side in memory */
        size_t i = (rows ? n / groups : n % panels) * LANES, g = rows ? n % groups : n / panels;
        size_t rest = i < count ? count - i : 0, have = rest < LANES ? rest : LANES;
        real *group = out + (i / LANES * groups + g) * GROUP;
        if (have == 0)
            memset(group, 0, GROUP * sizeof *group);
        else if (rows)
            split_rows(group, source + i * step + g * DEEP, have, depth - g * DEEP, step);
        else
            split_columns(group, source + g * DEEP * step + i, have, depth - g * DEEP, step);
        for (int p = 0; turned && p < PARTS; p++)
            turn(group + p * TILE);
    }
}

/* AMX wants the words of a row of A side by side, and those of a column of B below each other. */
void dt_gemm_pack_parts_a(real *restrict out, const real *restrict source, bool rows, size_t count,
                          size_t depth, size_t width, size_t step)
{
    pack_parts(out, source, rows, count, depth, width, step, !rows);
}

void dt_gemm_pack_parts_b(real *restrict out, const real *restrict source, bool rows, size_t count,
                          size_t depth, size_t width, size_t step)
{
    pack_parts(out, source, rows, count, depth, width, step, rows);
}

/* gcc's tile functions are statements, and want their numbers as such. A load and what can begin with
 * it alone take turns. */
#define NEXT_B(p)                                                                                  \
    do {                                                                                           \
        _tile_loadd(6, b + (p)*TILE, LINE);                                                        \
        _tile_dpbf16ps(0, 4, 6);                                                                   \
        _tile_dpbf16ps(2, 5, 6);                                                                   \
        _tile_loadd(7, b2 + (p)*TILE, LINE);                                                       \
        _tile_dpbf16ps(1, 4, 7);                                                                   \
        _tile_dpbf16ps(3, 5, 7);                                                                   \
    } while (0)
#define NEXT_A(p)                                                                                  \
    do {                                                                                           \
        _tile_loadd(4, a + (p)*TILE, LINE);                                                        \
        _tile_dpbf16ps(0, 4, 6);                                                                   \
        _tile_dpbf16ps(1, 4, 7);                                                                   \
        _tile_loadd(5, a2 + (p)*TILE, LINE);                                                       \
        _tile_dpbf16ps(2, 5, 6);                                                                   \
        _tile_dpbf16ps(3, 5, 7);                                                                   \
    } while (0)

/* 32 x 32, as four tiles. The products of parts in an order in which most operands stay. */
AMX void dt_gemm_tile_parts(size_t words, const real *a, const real *b, bool accumulate, real *c,
                            size_t ldc)
{
    const real *a2 = a + LANES * words, *b2 = b + LANES * words, *end = a2;
    dt_amx_take(c, ldc, accumulate);
    for (size_t i = LANES * 2; i < LANES * 4; i++) { /* of C what the next tile wants */
        dt_gemm_ahead(c + i * ldc);
        dt_gemm_ahead(c + i * ldc + LANES);
    }
    for (; a < end; a += GROUP, a2 += GROUP, b += GROUP, b2 += GROUP) {
        _tile_loadd(4, a, LINE);
        _tile_loadd(5, a2, LINE);
        NEXT_B(2);
        NEXT_B(1);
        NEXT_B(0);
        NEXT_A(2);
        NEXT_A(1);
        NEXT_B(1);
    }
    dt_amx_put(c, ldc);
}
#endif
