/* SPDX-License-Identifier: Apache-2.0 */
/* Finding a matrix library at run time, and cutting a product over the threads; see blas.h. */
#include "blas.h"

#include <dlfcn.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>

#include "clock.h"
#include "kernels.h"
#include "reals.h"

typedef int dnnl_sgemm_function(char ta, char tb, long m, long n, long k, float alpha,
                                const float *a, long lda, const float *b, long ldb, float beta,
                                float *c, long ldc);
typedef void cblas_sgemm_function(int order, int ta, int tb, int m, int n, int k, float alpha,
                                  const float *a, int lda, const float *b, int ldb, float beta,
                                  float *c, int ldc);

#ifndef DT_TRAIN_DOUBLE
static int open_onednn(struct dt_blas *blas)
{
    static const char *const names[] = {"libdnnl.so.3", "libdnnl.so.2"};
    for (size_t i = 0; i < sizeof names / sizeof *names && !blas->library; i++)
        blas->library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    if (!blas->library)
        return -1;
    *(void **)&blas->function = dlsym(blas->library, "dnnl_sgemm");
    if (!blas->function) {
        dlclose(blas->library);
        blas->library = NULL;
        return -1;
    }
    snprintf(blas->name, sizeof blas->name, "oneDNN");
    return 0;
}

/* Older OpenBLAS do not know newer CPUs and fall back to kernels of half the speed. It reads the
 * variable while it is being loaded; a user's own choice stays. */
static void choose_openblas_core(void)
{
#ifdef __x86_64__
    const char *core = NULL;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        core = __builtin_cpu_supports("avx512bf16") ? "COOPERLAKE" : "SKYLAKEX";
    if (core)
        setenv("OPENBLAS_CORETYPE", core, 0);
#endif
}

static int open_openblas(struct dt_blas *blas)
{
    choose_openblas_core();
    setenv("OPENBLAS_NUM_THREADS", "1", 1); /* starts no threads of its own; we cut the work */
    blas->library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
    if (!blas->library)
        return -1;
    *(void **)&blas->function = dlsym(blas->library, "cblas_sgemm");
    char *(*corename)(void);
    *(void **)&corename = dlsym(blas->library, "openblas_get_corename");
    if (!blas->function) {
        dlclose(blas->library);
        blas->library = NULL;
        return -1;
    }
    snprintf(blas->name, sizeof blas->name, "OpenBLAS %.60s", corename ? corename() : "");
    return 0;
}
#endif

/* The built-in kernel's work space; oneDNN wants it too, for dt_blas_one. */
static int open_builtin(struct dt_blas *blas, struct dt_error *err)
{
    blas->isa = dt_gemm_isa_best(blas->kind == DT_BLAS_BF16      ? DT_GEMM_AMX
                                 : blas->kind == DT_BLAS_BUILTIN ? DT_GEMM_PARTS
                                                                 : DT_GEMM_AVX512);
    blas->work_size = (dt_gemm_work_size() + 63) / 64 * 64;
    blas->work = aligned_alloc(DT_ALIGN, blas->work_size * (size_t)blas->threads * sizeof(real));
    if (!blas->work)
        return dt_error_set(err, "no memory for the matrix kernel's work space of %d threads",
                            blas->threads);
    if (blas->kind != DT_BLAS_ONEDNN)
        snprintf(blas->name, sizeof blas->name, "built-in %s", dt_gemm_isa_name(blas->isa));
    return 0;
}

int dt_blas_open(struct dt_blas *blas, enum dt_blas_kind kind, int threads, struct dt_error *err)
{
    *blas = (struct dt_blas){.threads = threads, .kernels = &dt_kernels_cpu};
#ifndef DT_TRAIN_DOUBLE
    if (kind == DT_BLAS_AUTO && dt_gemm_isa_usable(DT_GEMM_PARTS))
        kind = DT_BLAS_BUILTIN; /* 1.4 times and more a library's rate on vectors of fp32 */
    if (kind == DT_BLAS_AUTO || kind == DT_BLAS_ONEDNN) {
        blas->kind = DT_BLAS_ONEDNN;
        if (open_onednn(blas) == 0)
            return open_builtin(blas, err);
        if (kind == DT_BLAS_ONEDNN)
            return dt_error_set(err,
                                "--blas onednn: neither libdnnl.so.3 nor libdnnl.so.2 could be "
                                "opened; install it, or use --blas auto");
    }
    if (kind == DT_BLAS_AUTO || kind == DT_BLAS_OPENBLAS) {
        blas->kind = DT_BLAS_OPENBLAS;
        if (open_openblas(blas) == 0)
            return 0;
        if (kind == DT_BLAS_OPENBLAS)
            return dt_error_set(err, "--blas openblas: libopenblas.so.0 could not be opened; "
                                     "install it, or use --blas auto");
    }
#else
    if (kind != DT_BLAS_AUTO && kind != DT_BLAS_BUILTIN)
        return dt_error_set(err, "a double build has the built-in kernel only, in double");
#endif
    blas->kind = kind == DT_BLAS_BF16 ? kind : DT_BLAS_BUILTIN;
    return open_builtin(blas, err);
}

void dt_blas_close(struct dt_blas *blas)
{
    free(blas->work);
    *blas = (struct dt_blas){0};
}

#ifndef DT_TRAIN_DOUBLE
/* oneDNN spreads over OpenMP's threads itself, and well; called from a parallel region it is slow.
 */
static void onednn_all(const struct dt_blas *blas, const struct dt_product *p)
{
    ((dnnl_sgemm_function *)blas->function)(p->transpose_a ? 'T' : 'N', p->transpose_b ? 'T' : 'N',
                                            (long)p->m, (long)p->n, (long)p->k, 1.0f, p->a,
                                            (long)p->lda, p->b, (long)p->ldb,
                                            p->accumulate ? 1.0f : 0.0f, p->c, (long)p->ldc);
}
#endif

void dt_blas_one(const struct dt_blas *blas, const struct dt_product *p)
{
#ifndef DT_TRAIN_DOUBLE
    if (blas->kind == DT_BLAS_OPENBLAS) {
        enum { ROW_MAJOR = 101, PLAIN = 111, TRANSPOSED = 112 };
        ((cblas_sgemm_function *)blas->function)(
            ROW_MAJOR, p->transpose_a ? TRANSPOSED : PLAIN, p->transpose_b ? TRANSPOSED : PLAIN,
            (int)p->m, (int)p->n, (int)p->k, 1.0f, p->a, (int)p->lda, p->b, (int)p->ldb,
            p->accumulate ? 1.0f : 0.0f, p->c, (int)p->ldc);
        return;
    }
#endif
    dt_gemm_run(blas->isa, blas->work + blas->work_size * (size_t)omp_get_thread_num(),
                p->transpose_a, p->transpose_b, p->m, p->n, p->k, p->a, p->lda, p->b, p->ldb,
                p->accumulate, p->c, p->ldc);
}

/* Rows of C over `*down` threads and columns over the others, so that the two operands that each
 * thread reads are smallest together. */
static void choose_grid(size_t threads, size_t m, size_t n, size_t *down)
{
    *down = 1;
    size_t best = (size_t)-1;
    for (size_t rows = 1; rows <= threads; rows++) {
        if (threads % rows != 0)
            continue;
        size_t cost = (m + rows - 1) / rows + (n + threads / rows - 1) / (threads / rows);
        if (cost < best) {
            best = cost;
            *down = rows;
        }
    }
}

/* Begin of part `index` of `parts`, at multiples of 96: whole tiles for every kernel. */
static size_t part_begin(size_t count, size_t parts, size_t index)
{
    size_t tiles = (count + 95) / 96;
    size_t begin = tiles * index / parts * 96;
    return begin < count ? begin : count;
}

void dt_blas_all(const struct dt_blas *blas, const struct dt_product *product)
{
    blas->kernels->product(blas, product);
}

void dt_blas_spread(const struct dt_blas *blas, const struct dt_product *product)
{
#ifndef DT_TRAIN_DOUBLE
    if (blas->kind == DT_BLAS_ONEDNN) {
        onednn_all(blas, product);
        return;
    }
#endif
    if (blas->threads == 1) {
        dt_blas_one(blas, product);
        return;
    }
    size_t threads = (size_t)blas->threads, down;
    choose_grid(threads, product->m, product->n, &down);
    size_t across = threads / down;
#pragma omp parallel for schedule(static) num_threads(blas->threads)
    for (size_t t = 0; t < threads; t++) {
        struct dt_product part = *product;
        size_t row = part_begin(product->m, down, t / across);
        size_t column = part_begin(product->n, across, t % across);
        part.m = part_begin(product->m, down, t / across + 1) - row;
        part.n = part_begin(product->n, across, t % across + 1) - column;
        part.a += product->transpose_a ? row : row * product->lda;
        part.b += product->transpose_b ? column * product->ldb : column;
        part.c += row * product->ldc + column;
        if (part.m > 0 && part.n > 0)
            dt_blas_one(blas, &part);
    }
}

/* Best of a few, in seconds; the first one warms up, and may be the best all the same. 0: no memory, or
 * it failed. */
static double product_s(const struct dt_blas *blas, size_t size)
{
    struct dt_error quiet;
    real *memory = dt_reals(3 * size * size);
    double best = 1e30;
    for (size_t i = 0; memory && i < 3 * size * size; i++)
        memory[i] = (real)(i % 13) * (real)0.125;
    const struct dt_product product = {.m = size,
                                       .n = size,
                                       .k = size,
                                       .a = memory,
                                       .lda = size,
                                       .b = memory + size * size,
                                       .ldb = size,
                                       .c = memory + 2 * size * size,
                                       .ldc = size};
    for (int i = 0; memory && i < 4; i++) {
        double begin = dt_seconds();
        dt_blas_all(blas, &product);
        if (blas->kernels->wait(&quiet) < 0)
            best = 0;
        double took = dt_seconds() - begin;
        best = took < best ? took : best;
    }
    dt_memory_free(memory);
    return memory ? best : 0;
}

double dt_blas_rate(const struct dt_blas *blas)
{
    enum { SIZE = 512, SMALLEST = 128, LARGEST = 4096 };
    bool device = blas->kind == DT_BLAS_DEVICE;
    size_t size = device ? SMALLEST : SIZE;
    double took = product_s(blas, size);
    /* a GPU is at its best when it has work for a millisecond or more */
    while (device && took > 0 && took < 2e-3 && size < LARGEST)
        took = product_s(blas, size *= 2);
    double n = (double)size;
    return took > 0 ? 2.0 * n * n * n / took * 1e-9 : 0;
}
