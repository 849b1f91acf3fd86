/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the GPUs' library share: one GPU a process, one stream on which everything is
 * computed, one for communication, and the first failure, which is kept until `wait` tells it, since
 * a launch has nobody to tell. C and C++. */
#ifndef DT_TRAIN_CUDA_INTERNAL_H
#define DT_TRAIN_CUDA_INTERNAL_H

#include <cuda_runtime_api.h>

#ifdef __cplusplus
extern "C" {
#endif

#include "device.h"

/* runtime.c */
cudaStream_t dt_cuda_stream(void);      /* of computing */
cudaStream_t dt_cuda_comm_stream(void); /* of communication */
void dt_cuda_note(cudaError_t code, const char *what);
void dt_cuda_note_other(const char *what, const char *why); /* a failure of a library */
void dt_cuda_launched(const char *what);                    /* notes a launch that failed */
/* -1: something has failed so far. */
int dt_cuda_tell(struct dt_error *err);
int dt_cuda_wait(struct dt_error *err);

/* Memory that grows, the GPU's alone; for what is launched until the next call. NULL: none left,
 * noted. */
void *dt_cuda_scratch(size_t bytes);

/* table.cu: all of the table but `product` and `wait`. */
void dt_cuda_fill(struct dt_kernels *kernels);
/* rows x columns of `from`, `stride` reals from row to row, as bf16 side by side: to nearest, even. */
void dt_cuda_round(uint16_t *to, const real *from, size_t rows, size_t columns, size_t stride);

/* product.c */
int dt_cuda_products_open(bool bf16, char *name, size_t size, struct dt_error *err);
void dt_cuda_products_close(void);
bool dt_cuda_bf16(void); /* operands are rounded to bf16 */
void dt_cuda_product(const struct dt_blas *blas, const struct dt_product *product);

/* groups.c */
extern const struct dt_cuda_groups dt_cuda_groups;
int dt_cuda_groups_check(struct dt_error *err); /* all of them */
bool dt_cuda_groups_any(void);

#ifdef __cplusplus
}
#endif

#endif
