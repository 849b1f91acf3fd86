/* SPDX-License-Identifier: Apache-2.0 */
/* The number type of the training core, and how its loops are compiled.
 *
 * `real` is float. With -DDT_TRAIN_DOUBLE the same source is built in double, in which gradients
 * can be checked against finite differences to better than 1e-6; in float that check says nothing.
 */
#ifndef DT_TRAIN_REAL_H
#define DT_TRAIN_REAL_H

#include <stdint.h>
#include <string.h>

#ifdef DT_TRAIN_DOUBLE
typedef double real;
#define DT_REAL_NAME "fp64"
#else
typedef float real;
#define DT_REAL_NAME "fp32"
#endif

/* Loops over rows are compiled once per machine class and picked at load time, so that one binary
 * uses the vector unit it finds. Such a function must not contain a parallel region: the body of a
 * region becomes a function of its own, which is not cloned. Sanitizers instrument the resolver,
 * which runs before they are ready. clang 14 gives the resolvers of static functions global names,
 * so that two files with a function of one name do not link. */
#if defined(__x86_64__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) &&                \
    !defined(DT_TRAIN_NO_CLONES)
#define DT_SIMD __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define DT_SIMD
#endif

#define DT_ALIGN 64 /* bytes; a cache line, and the widest vector */

/* Exponential without branch or table, so that it vectorises on every machine class and gives the
 * same bits everywhere up to fused multiply-adds. Arguments are cut to where the result is normal.
 */
static inline real dt_exp(real x)
{
#ifdef DT_TRAIN_DOUBLE
    const double magic = 6755399441055744.0; /* 1.5 * 2^52: the sum's low bits are round(x) */
    x = x > 708.0 ? 708.0 : x < -708.0 ? -708.0 : x;
    double t = x * 1.4426950408889634 + magic;
    double n = t - magic;
    double r = (x - n * 6.93147180369123816490e-01) - n * 1.90821492927058770002e-10;
    double p = 1.0 / 6227020800.0;
    p = p * r + 1.0 / 479001600.0;
    p = p * r + 1.0 / 39916800.0;
    p = p * r + 1.0 / 3628800.0;
    p = p * r + 1.0 / 362880.0;
    p = p * r + 1.0 / 40320.0;
    p = p * r + 1.0 / 5040.0;
    p = p * r + 1.0 / 720.0;
    p = p * r + 1.0 / 120.0;
    p = p * r + 1.0 / 24.0;
    p = p * r + 1.0 / 6.0;
    p = p * r + 0.5;
    p = p * r + 1.0;
    p = p * r + 1.0;
    uint64_t bits;
    double scale;
    memcpy(&bits, &t, sizeof bits);
    bits = (bits + 1023) << 52;
    memcpy(&scale, &bits, sizeof scale);
    return p * scale;
#else
    const float magic = 12582912.0f; /* 1.5 * 2^23 */
    x = x > 87.0f ? 87.0f : x < -87.0f ? -87.0f : x;
    float t = x * 1.44269504f + magic;
    float n = t - magic;
    float r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    uint32_t bits;
    float scale;
    memcpy(&bits, &t, sizeof bits);
    bits = (bits + 127) << 23;
    memcpy(&scale, &bits, sizeof scale);
    return p * scale;
#endif
}

#endif
