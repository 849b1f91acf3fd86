/* SPDX-License-Identifier: Apache-2.0 */
/* What the built-in matrix product needs for bf16: operands are rounded on their way into panels, so
 * that no copy of a matrix in bf16 is ever kept, and tiles sum in fp32. Tiles for AVX512_BF16 and for
 * AMX, compiled into every binary and called where the CPU has them; elsewhere rounded numbers go
 * through the tiles of fp32: the same products, at their speed. */
#include "gemm_shape.h"

#ifndef DT_TRAIN_DOUBLE

static inline real to_bf16(real x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    bool number = (bits & 0x7fffffff) <= 0x7f800000;
    bits = number ? bits + 0x7fff + (bits >> 16 & 1) : bits | 0x400000; /* to even; NaN stays one */
    bits &= 0xffff0000;
    memcpy(&x, &bits, sizeof x);
    return x;
}

DT_SIMD static void round_words(real *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        words[i] = to_bf16(words[i]);
}

void dt_gemm_pack_rounded(real *restrict out, const real *restrict source, bool rows, size_t count,
                          size_t depth, size_t width, size_t step)
{
    dt_gemm_pack_words(out, source, rows, count, depth, width, step);
    round_words(out, (count + width - 1) / width * width * depth);
}

#ifdef __x86_64__
#include <cpuid.h>
#include "gemm_amx.h"
#include <sys/syscall.h>
#include <unistd.h>

#define BF16 __attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16")))

enum { AHEAD = 16 /* rows */, LANES = 16, AMX_ROWS = 16, AMX_TILE = AMX_ROWS * LANES /* words */ };

static inline __mmask16 first(size_t count)
{
    return count >= LANES ? (__mmask16)-1 : (__mmask16)((1U << count) - 1);
}

/* 32 neighbours to 16 words of two; lanes that are not in the masks become 0. */
BF16 static inline __m512i neighbours(const real *from, __mmask16 low, __mmask16 high)
{
    return (__m512i)_mm512_cvtne2ps_pbh(_mm512_maskz_loadu_ps(high, from + LANES),
                                        _mm512_maskz_loadu_ps(low, from));
}

/* 16 words, each of an element of the upper row (even place in the sum) and of the lower. */
BF16 static inline __m512i zip(__m512 upper, __m512 lower)
{
    __m512i halves = (__m512i)_mm512_cvtne2ps_pbh(lower, upper);
    const __m512i order =
        _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                         21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    return _mm512_permutexvar_epi16(order, halves);
}

/* Rows of elements to rows of words, padded with zeros to `words`. */
BF16 static void convert_rows(real *out, size_t out_step, const real *from, size_t have,
                              size_t depth, size_t words, size_t step)
{
    for (size_t w = 0; w < words; w += LANES) {
        size_t left = depth > 2 * w ? depth - 2 * w : 0;
        __mmask16 low = first(left), high = left > LANES ? first(left - LANES) : 0;
        __mmask16 store = first(words - w);
        for (size_t i = 0; i < have; i++) {
            dt_gemm_ahead(from + (i + have) * step + 2 * w);
            dt_gemm_ahead(from + (i + have) * step + 2 * w + LANES);
            _mm512_mask_storeu_epi32(out + i * out_step + w, store,
                                     neighbours(from + i * step + 2 * w, low, high));
        }
    }
}

/* Two rows at a time, through all panels; panels end with zeros. */
BF16 static void zip_columns(real *out, const real *from, size_t count, size_t depth, size_t words,
                             size_t width, size_t step)
{
    for (size_t w = 0; w < words; w++) {
        const real *upper = from + 2 * w * step, *lower = upper + step;
        __mmask16 has_upper = 2 * w < depth ? -1 : 0, has_lower = 2 * w + 1 < depth ? -1 : 0;
        for (size_t j = 0; j < width; j += LANES) {
            __mmask16 store = first(width - j);
            for (size_t i = j; i - j < count; i += width) {
                dt_gemm_ahead(upper + AHEAD * step + i);
                dt_gemm_ahead(lower + AHEAD * step + i);
                __mmask16 there = i < count ? store & first(count - i) : 0;
                _mm512_mask_storeu_epi32(out + (i - j) * words + w * width + j, store,
                                         zip(_mm512_maskz_loadu_ps(there & has_upper, upper + i),
                                             _mm512_maskz_loadu_ps(there & has_lower, lower + i)));
            }
        }
    }
}

static void pack_pairs(real *restrict out, const real *restrict source, bool rows, size_t count,
                       size_t depth, size_t words, size_t width, size_t step)
{
    real converted[32 * DT_GEMM_DEPTH] __attribute__((aligned(64)));
    if (!rows) {
        zip_columns(out, source, count, depth, words, width, step);
        return;
    }
    for (size_t i = 0; i < count; i += width) {
        size_t have = count - i < width ? count - i : width;
        convert_rows(converted, words, source + i * step, have, depth, words, step);
        dt_gemm_pack_words(out + i * words, converted, true, have, words, width, words);
    }
}

void dt_gemm_pack_pairs(real *restrict out, const real *restrict source, bool rows, size_t count,
                        size_t depth, size_t width, size_t step)
{
    pack_pairs(out, source, rows, count, depth, (depth + 1) / 2, width, step);
}

/* 12 x 32 */
BF16 void dt_gemm_tile_bf16(size_t words, const real *a, const real *b, bool accumulate, real *c,
                            size_t ldc)
{
    __m512 sum[12][2];
#pragma GCC unroll 12
    for (int i = 0; i < 12; i++)
        for (int j = 0; j < 2; j++)
            sum[i][j] =
                accumulate ? _mm512_loadu_ps(c + (size_t)i * ldc + j * LANES) : _mm512_setzero_ps();
    for (size_t w = 0; w < words; w++) {
        __m512bh right0 = (__m512bh)_mm512_loadu_ps(b), right1 = (__m512bh)_mm512_loadu_ps(b + 16);
#pragma GCC unroll 12
        for (int i = 0; i < 12; i++) {
            __m512bh left = (__m512bh)_mm512_set1_ps(a[i]);
            sum[i][0] = _mm512_dpbf16_ps(sum[i][0], left, right0);
            sum[i][1] = _mm512_dpbf16_ps(sum[i][1], left, right1);
        }
        a += 12;
        b += 32;
    }
#pragma GCC unroll 12
    for (int i = 0; i < 12; i++)
        for (int j = 0; j < 2; j++)
            _mm512_storeu_ps(c + (size_t)i * ldc + j * LANES, sum[i][j]);
}

/* AMX wants 16 words of 16 rows at a time, of A as they lie, of B turned round. The panels of both
 * are 32 wide, in two halves. */
static size_t amx_words(size_t depth)
{
    return (depth + 2 * LANES - 1) / (2 * LANES) * LANES;
}

static void amx_half_a(real *restrict out, const real *restrict source, bool rows, size_t have,
                       size_t depth, size_t step)
{
    real zipped[AMX_ROWS * DT_GEMM_DEPTH] __attribute__((aligned(64)));
    size_t words = amx_words(depth);
    if (rows && have < AMX_ROWS)
        memset(out, 0, AMX_ROWS * words * sizeof *out);
    if (!rows)
        zip_columns(zipped, source, have, depth, words, AMX_ROWS, step);
    for (size_t w = 0; w < words; w += LANES, out += AMX_TILE) {
        if (rows)
            convert_rows(out, LANES, source + 2 * w, have, depth - 2 * w, LANES, step);
        else
            dt_gemm_pack_words(out, zipped + w * AMX_ROWS, true, AMX_ROWS, LANES, LANES, AMX_ROWS);
    }
}

void dt_gemm_pack_amx_a(real *restrict out, const real *restrict source, bool rows, size_t count,
                        size_t depth, size_t width, size_t step)
{
    size_t words = amx_words(depth), all = (count + width - 1) / width * width;
    for (size_t i = 0; i < all; i += AMX_ROWS) {
        size_t rest = i < count ? count - i : 0;
        if (rest == 0)
            memset(out + i * words, 0, AMX_ROWS * words * sizeof *out);
        else
            amx_half_a(out + i * words, source + i * (rows ? step : 1), rows,
                       rest < AMX_ROWS ? rest : AMX_ROWS, depth, step);
    }
}

void dt_gemm_pack_amx_b(real *restrict out, const real *restrict source, bool rows, size_t count,
                        size_t depth, size_t width, size_t step)
{
    size_t words = amx_words(depth), all = (count + width - 1) / width * width;
    size_t full = (count + LANES - 1) / LANES * LANES;
    pack_pairs(out, source, rows, count, depth, words, LANES, step);
    memset(out + full * words, 0, (all - full) * words * sizeof *out);
}

/* 32 x 32, as four tiles of AMX. */
AMX void dt_gemm_tile_amx(size_t words, const real *a, const real *b, bool accumulate, real *c,
                          size_t ldc)
{
    const size_t line = LANES * sizeof(real);
    const real *a2 = a + AMX_ROWS * words, *b2 = b + LANES * words;
    dt_amx_take(c, ldc, accumulate);
    for (size_t at = 0; at < AMX_ROWS * words; at += AMX_TILE) {
        _tile_loadd(4, a + at, line);
        _tile_loadd(6, b + at, line);
        _tile_loadd(7, b2 + at, line);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_loadd(5, a2 + at, line);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    dt_amx_put(c, ldc);
}

AMX void dt_gemm_amx_begin(void)
{
    struct {
        uint8_t palette, start, reserved[14];
        uint16_t columns[16];
        uint8_t rows[16];
    } config __attribute__((aligned(64))) = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        config.columns[i] = LANES * sizeof(real); /* bytes */
        config.rows[i] = AMX_ROWS;
    }
    /* GCC's _tile_loadconfig names the first 8 bytes alone: the others would not be stored. */
    __asm__ volatile("" : : "r"(&config) : "memory");
    _tile_loadconfig(&config);
}

/* Tiles in use make every switch of threads copy them. */
AMX void dt_gemm_amx_end(void)
{
    _tile_release();
}

/* The CPU must have it, and Linux let the process have the 8 KiB of tiles. */
bool dt_gemm_amx_usable(void)
{
    enum { TILE = 1 << 24, TILE_BF16 = 1 << 22, REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 };
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & TILE) && (d & TILE_BF16) &&
           __builtin_cpu_supports("avx512bf16") &&
           syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
}
#endif
#endif
