/* SPDX-License-Identifier: Apache-2.0 */
/* Matrix products: the best library found at run time (oneDNN, else OpenBLAS with its core type set
 * right), else the built-in kernel. OpenBLAS and the kernel run with one thread each on pieces that
 * are cut here, so that no library's threads fight with OpenMP's. */
#ifndef DT_TRAIN_BLAS_H
#define DT_TRAIN_BLAS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "gemm.h"
#include "real.h"

/* BF16: operands are rounded to bf16 on their way into the product; sums, and all that lies in memory,
 * are reals. It is the built-in kernel's on every machine: the libraries want operands that are bf16
 * already, and Debian's OpenBLAS has no such product. */
enum dt_blas_kind {
    DT_BLAS_AUTO,
    DT_BLAS_ONEDNN,
    DT_BLAS_OPENBLAS,
    DT_BLAS_BUILTIN,
    DT_BLAS_BF16,
    DT_BLAS_DEVICE
};

struct dt_kernels;

struct dt_blas {
    enum dt_blas_kind kind;
    const struct dt_kernels *kernels; /* of the device that works: products, and all else */
    char name[96];                    /* for people: "OpenBLAS SkylakeX" */
    int threads;
    void *library; /* dlopen handle, never closed: libraries with threads do not survive it */
    void (*function)(void);
    enum dt_gemm_isa isa;
    real *work; /* of the built-in kernel, a piece per thread */
    size_t work_size;
};

/* AUTO never fails for want of a library. In a double build only the built-in kernel is there. */
int dt_blas_open(struct dt_blas *blas, enum dt_blas_kind kind, int threads, struct dt_error *err);
void dt_blas_close(struct dt_blas *blas);

/* GFLOP/s of a 512 x 512 x 512 product, best of a few, all threads: some milliseconds. Of a GPU: of
 * the first product, up to 4096^3, that takes it 2 ms. 0: not to be had. */
double dt_blas_rate(const struct dt_blas *blas);

/* C = op(A) * op(B) [+ C], row-major, as dt_gemm_run. _all spreads over the threads and is called
 * from serial code; _one is for code that is parallel itself. */
struct dt_product {
    bool transpose_a, transpose_b;
    size_t m, n, k;
    const real *a;
    size_t lda;
    const real *b;
    size_t ldb;
    bool accumulate;
    real *c;
    size_t ldc;
};
void dt_blas_all(const struct dt_blas *blas, const struct dt_product *product);
void dt_blas_spread(const struct dt_blas *blas, const struct dt_product *product); /* the CPU's */
void dt_blas_one(const struct dt_blas *blas, const struct dt_product *product);

#endif
