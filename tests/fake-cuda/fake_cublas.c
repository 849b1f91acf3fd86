/* SPDX-License-Identifier: Apache-2.0 */
/* Products of the fake cuBLAS, by columns as the real one counts; see cuda_runtime.h. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cublas_v2.h"

struct fake_cublas {
    cudaStream_t stream;
};

cublasStatus_t cublasCreate(cublasHandle_t *handle)
{
    *handle = calloc(1, sizeof **handle);
    return *handle ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasDestroy(cublasHandle_t handle)
{
    free(handle);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetStream(cublasHandle_t handle, cudaStream_t stream)
{
    handle->stream = stream;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t mode)
{
    (void)handle;
    return mode == CUBLAS_DEFAULT_MATH ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasGetVersion(cublasHandle_t handle, int *version)
{
    (void)handle;
    *version = 130000;
    return CUBLAS_STATUS_SUCCESS;
}

const char *cublasGetStatusString(cublasStatus_t status)
{
    return status == CUBLAS_STATUS_SUCCESS ? "success" : "an invalid value";
}

static float number_at(const void *values, cudaDataType type, size_t i)
{
    float value;
    if (type == CUDA_R_32F)
        return ((const float *)values)[i];
    uint32_t bits = (uint32_t)((const uint16_t *)values)[i] << 16;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Row i, column j of op(a). */
static size_t place(cublasOperation_t op, int ld, int i, int j)
{
    return op == CUBLAS_OP_N ? (size_t)j * (size_t)ld + (size_t)i
                             : (size_t)i * (size_t)ld + (size_t)j;
}

cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b,
                            int m, int n, int k, const void *alpha, const void *a,
                            cudaDataType type_a, int lda, const void *b, cudaDataType type_b,
                            int ldb, const void *beta, void *c, cudaDataType type_c, int ldc,
                            cublasComputeType_t compute, cublasGemmAlgo_t algorithm)
{
    const float factor = *(const float *)alpha, keep = *(const float *)beta;
    (void)handle, (void)compute, (void)algorithm;
    /* as the real one: leading dimensions are no shorter than what they lead */
    if (lda < (op_a == CUBLAS_OP_N ? m : k) || ldb < (op_b == CUBLAS_OP_N ? k : n) || ldc < m ||
        type_c != CUDA_R_32F || type_a != type_b)
        return CUBLAS_STATUS_INVALID_VALUE;
    float *column = malloc((size_t)k * sizeof *column);
    if (!column)
        return CUBLAS_STATUS_INVALID_VALUE;
    for (int i = 0; i < m; i++) {
        for (int l = 0; l < k; l++)
            column[l] = number_at(a, type_a, place(op_a, lda, i, l));
        for (int j = 0; j < n; j++) {
            float *to = (float *)c + (size_t)j * (size_t)ldc + (size_t)i;
            double sum = 0;
            for (int l = 0; l < k; l++)
                sum += (double)column[l] * (double)number_at(b, type_b, place(op_b, ldb, l, j));
            *to = (keep != 0 ? keep * *to : 0) + factor * (float)sum;
        }
    }
    free(column);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSgemm(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b,
                           int m, int n, int k, const float *alpha, const float *a, int lda,
                           const float *b, int ldb, const float *beta, float *c, int ldc)
{
    return cublasGemmEx(handle, op_a, op_b, m, n, k, alpha, a, CUDA_R_32F, lda, b, CUDA_R_32F, ldb,
                        beta, c, CUDA_R_32F, ldc, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT);
}
