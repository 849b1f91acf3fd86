/* SPDX-License-Identifier: Apache-2.0 */
/* Matrix products by cuBLAS: of fp32 numbers in fp32, never in TF32, which would round the operands to
 * 10 bits; or with --precision bf16 of operands rounded to bf16 on their way in, summed in fp32. */
#include <cublas_v2.h>
#include <stdio.h>

#include "internal.h"

static struct {
    cublasHandle_t handle;
    bool bf16;
} products;

static const char *reason(cublasStatus_t status)
{
    return cublasGetStatusString(status);
}

int dt_cuda_products_open(bool bf16, char *name, size_t size, struct dt_error *err)
{
    int version = 0;
    products.bf16 = bf16;
    cublasStatus_t status = cublasCreate(&products.handle);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = cublasSetStream(products.handle, dt_cuda_stream());
    if (status == CUBLAS_STATUS_SUCCESS)
        status = cublasSetMathMode(products.handle, CUBLAS_DEFAULT_MATH);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = cublasGetVersion(products.handle, &version);
    if (status != CUBLAS_STATUS_SUCCESS)
        return dt_error_set(err, "cuBLAS can not be opened: %s", reason(status));
    snprintf(name, size, "cuBLAS %d.%d%s", version / 10000, version / 100 % 100,
             bf16 ? " in bf16" : "");
    return 0;
}

bool dt_cuda_bf16(void)
{
    return products.bf16;
}

void dt_cuda_products_close(void)
{
    if (products.handle)
        cublasDestroy(products.handle);
    products.handle = NULL;
}

/* Of bf16 as it lies in memory: rows of the array, and how long they are. */
struct rounded {
    size_t rows, columns;
};

static struct rounded shape_of(bool transposed, size_t rows, size_t columns)
{
    return transposed ? (struct rounded){columns, rows} : (struct rounded){rows, columns};
}

/* cuBLAS counts by columns: to it each array is its transpose, and so C' = B' A' is asked for. */
static cublasStatus_t rounded_product(const struct dt_product *p, float beta)
{
    const float one = 1;
    const struct rounded a = shape_of(p->transpose_a, p->m, p->k);
    const struct rounded b = shape_of(p->transpose_b, p->k, p->n);
    size_t a_count = (a.rows * a.columns + 127) / 128 * 128; /* b begins aligned */
    uint16_t *memory = (uint16_t *)dt_cuda_scratch((a_count + b.rows * b.columns) * 2);
    if (!memory)
        return CUBLAS_STATUS_SUCCESS; /* noted */
    dt_cuda_round(memory, p->a, a.rows, a.columns, p->lda);
    dt_cuda_round(memory + a_count, p->b, b.rows, b.columns, p->ldb);
    return cublasGemmEx(products.handle, p->transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N,
                        p->transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N, (int)p->n, (int)p->m, (int)p->k,
                        &one, memory + a_count, CUDA_R_16BF, (int)b.columns, memory, CUDA_R_16BF,
                        (int)a.columns, &beta, p->c, CUDA_R_32F, (int)p->ldc, CUBLAS_COMPUTE_32F,
                        CUBLAS_GEMM_DEFAULT);
}

static cublasStatus_t whole_product(const struct dt_product *p, float beta)
{
    const float one = 1;
    return cublasSgemm(products.handle, p->transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N,
                       p->transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N, (int)p->n, (int)p->m, (int)p->k,
                       &one, p->b, (int)p->ldb, p->a, (int)p->lda, &beta, p->c, (int)p->ldc);
}

void dt_cuda_product(const struct dt_blas *blas, const struct dt_product *p)
{
    const float beta = p->accumulate ? 1 : 0;
    (void)blas;
    if (p->m == 0 || p->n == 0 || p->k == 0)
        return;
    cublasStatus_t status = products.bf16 ? rounded_product(p, beta) : whole_product(p, beta);
    if (status != CUBLAS_STATUS_SUCCESS)
        dt_cuda_note_other("a product of cuBLAS", reason(status));
}
