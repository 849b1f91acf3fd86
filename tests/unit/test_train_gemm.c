/* SPDX-License-Identifier: Apache-2.0 */
/* Products of every vector class this machine has, and cut over threads, against the plain loops.
 */
#include <math.h>
#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "blas.h"
#include "rng.h"

/* Arrays are exactly as large as the product needs, so that a sanitizer sees a step too far. */
static real *fill(size_t count, unsigned stream)
{
    real *values = malloc(count * sizeof *values);
    assert_non_null(values);
    dt_rng_fill(values, 0, count, 1.0, 11, stream);
    return values;
}

static double as_operand(real x, bool bf16)
{
    uint32_t bits;
    if (!bf16)
        return x;
    memcpy(&bits, &x, sizeof bits);
    bits += 0x7fff + (bits >> 16 & 1);
    bits &= 0xffff0000;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static void compare(const struct dt_product *p, const real *before, const real *after, bool bf16)
{
    for (size_t i = 0; i < p->m; i++) {
        for (size_t j = 0; j < p->n; j++) {
            double sum = p->accumulate ? before[i * p->ldc + j] : 0, size = fabs(sum);
            for (size_t k = 0; k < p->k; k++) {
                double a = p->transpose_a ? p->a[k * p->lda + i] : p->a[i * p->lda + k];
                double b = p->transpose_b ? p->b[j * p->ldb + k] : p->b[k * p->ldb + j];
                a = as_operand((real)a, bf16);
                b = as_operand((real)b, bf16);
                sum += a * b;
                size += fabs(a * b);
            }
            assert_true(fabs(after[i * p->ldc + j] - sum) <= 1e-6 * size + 1e-12);
        }
    }
}

static void one_product(const struct dt_blas *blas, size_t m, size_t n, size_t k, unsigned flags)
{
    struct dt_product p = {.transpose_a = flags & 1,
                           .transpose_b = flags & 2,
                           .m = m,
                           .n = n,
                           .k = k,
                           .accumulate = flags & 4,
                           .ldc = n};
    p.lda = p.transpose_a ? m : k;
    p.ldb = p.transpose_b ? k : n;
    real *a = fill(m * k, 1), *b = fill(k * n, 2), *c = fill(m * n, 3), *before = fill(m * n, 3);
    p.a = a;
    p.b = b;
    p.c = c;
    dt_blas_all(blas, &p);
    compare(&p, before, c, blas->kind != DT_BLAS_ONEDNN && blas->isa >= DT_GEMM_ROUNDED);
    free(a);
    free(b);
    free(c);
    free(before);
}

/* With threads only the largest sizes: on shared cores each parallel region may cost milliseconds.
 */
static void try_sizes(const struct dt_blas *blas)
{
    static const size_t sizes[][3] = {{1, 1, 1},     {12, 32, 64}, {13, 33, 7},
                                      {97, 50, 600}, {5, 610, 20}, {192, 96, 65}};
    for (size_t i = blas->threads > 1 ? 3 : 0; i < sizeof sizes / sizeof *sizes; i++)
        for (unsigned flags = 0; flags < 8; flags++)
            one_product(blas, sizes[i][0], sizes[i][1], sizes[i][2], flags);
}

static void test_every_class(void **state)
{
    (void)state;
    for (int isa = 0; isa < DT_GEMM_ISAS; isa++) {
        for (int threads = 1; threads <= 3; threads += 2) {
            struct dt_blas blas;
            struct dt_error err;
            assert_int_equal(dt_blas_open(&blas, DT_BLAS_BUILTIN, threads, &err), 0);
            if (dt_gemm_isa_usable((enum dt_gemm_isa)isa)) {
                if (threads == 1)
                    print_message("%s\n", dt_gemm_isa_name((enum dt_gemm_isa)isa));
                blas.isa = (enum dt_gemm_isa)isa;
                try_sizes(&blas);
            }
            dt_blas_close(&blas);
        }
    }
}

/* Whatever the bits of a number that is none, a sum with it is none. */
static void test_nan_stays(void **state)
{
    enum { SIZE = 40 };
    static const uint32_t kinds[] = {0x7fc00000, 0x7fffffff, 0xffffffff, 0x7f800001};
    (void)state;
    for (int isa = 0; isa < DT_GEMM_ISAS; isa++) {
        struct dt_blas blas;
        struct dt_error err;
        assert_int_equal(dt_blas_open(&blas, DT_BLAS_BUILTIN, 1, &err), 0);
        blas.isa = (enum dt_gemm_isa)isa;
        for (size_t i = 0; i < sizeof kinds / sizeof *kinds && dt_gemm_isa_usable(blas.isa); i++) {
            real *a = fill(SIZE * SIZE, 1), *b = fill(SIZE * SIZE, 2), c[SIZE * SIZE];
            memcpy(a + 3 * SIZE + 5, &kinds[i], sizeof *a);
            dt_blas_all(&blas, &(struct dt_product){.m = SIZE,
                                                    .n = SIZE,
                                                    .k = SIZE,
                                                    .a = a,
                                                    .lda = SIZE,
                                                    .b = b,
                                                    .ldb = SIZE,
                                                    .c = c,
                                                    .ldc = SIZE});
            for (size_t j = 0; j < SIZE; j++)
                assert_true(isnan(c[3 * SIZE + j]) && isfinite(c[4 * SIZE + j]));
            free(a);
            free(b);
        }
        dt_blas_close(&blas);
    }
}

/* Whatever library is there. */
static void test_auto(void **state)
{
    (void)state;
    struct dt_blas blas;
    struct dt_error err;
    assert_int_equal(dt_blas_open(&blas, DT_BLAS_AUTO, 2, &err), 0);
    assert_true(blas.name[0] != '\0');
    try_sizes(&blas);
    assert_true(dt_blas_rate(&blas) > 0);
    dt_blas_close(&blas);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_class),
                                       cmocka_unit_test(test_nan_stays),
                                       cmocka_unit_test(test_auto)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    /* The leak sanitizer may crash on the thread-local memory of OpenMP's waiting threads. */
    omp_pause_resource_all(omp_pause_hard);
    return failed;
}
