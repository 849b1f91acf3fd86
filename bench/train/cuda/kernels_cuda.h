/* SPDX-License-Identifier: Apache-2.0 */
/* The kernels' side of struct dt_kernels (kernels.h), a function for each entry, in files named as
 * the CPU's. All of them return when the work is queued, not when it is done. Arrays must be readable
 * by the device, those of tokens, places and slots too; structs are the host's. */
#ifndef DT_TRAIN_KERNELS_CUDA_H
#define DT_TRAIN_KERNELS_CUDA_H

extern "C" {
#include "kernels.h"
}

/* embedding.cu */
void dt_cuda_embedding_forward(real *out, const int *tokens, const real *token_table,
                               const real *position_table, const size_t *places,
                               struct dt_range vocab, size_t batch, size_t time, size_t channels);
void dt_cuda_embedding_backward(const struct dt_embedding_gradient *gradient, const real *d_out,
                                const int *tokens, const size_t *places, size_t batch, size_t time,
                                size_t channels);

/* layernorm.cu, rmsnorm.cu */
void dt_cuda_layernorm_forward(real *out, real *mean, real *inverse, const real *in,
                               const real *weight, const real *bias, size_t rows, size_t channels);
void dt_cuda_layernorm_backward(real *d_in, real *d_weight, real *d_bias, const real *d_out,
                                const real *in, const real *weight, const real *mean,
                                const real *inverse, size_t rows, size_t channels, bool add);
void dt_cuda_rmsnorm_forward(real *out, real *inverse, const real *in, const real *weight,
                             size_t rows, size_t channels);
void dt_cuda_rmsnorm_backward(real *d_in, real *d_weight, const real *d_out, const real *in,
                              const real *weight, const real *inverse, size_t rows, size_t channels,
                              bool add);

/* linear.cu */
void dt_cuda_column_sums(real *sums, const real *values, size_t rows, size_t columns, bool add);
void dt_cuda_bias_add(real *values, const real *bias, size_t rows, size_t channels);
void dt_cuda_residual_add(real *out, const real *residual, const real *values, const real *bias,
                          size_t rows, size_t channels);

/* rope.cu */
void dt_cuda_rope(real *qkv, const real *table, size_t batch, size_t time, size_t heads,
                  size_t head, size_t stride, bool back);

/* attention.cu; blas and work are not looked at */
void dt_cuda_attention_forward(const struct dt_blas *blas, real *out, real *log_sum,
                               const real *qkv, real *work, const struct dt_attention_shape *shape);
void dt_cuda_attention_backward(const struct dt_blas *blas, real *d_qkv, const real *d_out,
                                const real *out, const real *log_sum, const real *qkv, real *work,
                                const struct dt_attention_shape *shape);
void dt_cuda_attention_span_forward(const struct dt_blas *blas, real *out, real *log_sum,
                                    const struct dt_attention_input *in, real *work,
                                    const struct dt_attention_shape *shape,
                                    const struct dt_attention_span *span);
void dt_cuda_attention_span_backward(const struct dt_blas *blas,
                                     const struct dt_attention_gradient *d, const real *d_out,
                                     const real *out, const real *log_sum,
                                     const struct dt_attention_input *in, real *work,
                                     const struct dt_attention_shape *shape,
                                     const struct dt_attention_span *span);

/* gelu.cu, swiglu.cu */
void dt_cuda_gelu_forward(real *out, real *values, const real *bias, size_t rows, size_t channels);
void dt_cuda_gelu_backward(real *d_values, const real *values, size_t count);
void dt_cuda_swiglu_forward(real *out, const real *values, size_t rows, size_t hidden);
void dt_cuda_swiglu_backward(real *d_values, const real *d_out, const real *values, size_t rows,
                             size_t hidden);

/* loss.cu */
void dt_cuda_loss_alone(const struct dt_loss_chunk *chunk);
void dt_cuda_loss_raise(const struct dt_loss_chunk *chunk);
void dt_cuda_loss_lower(const struct dt_loss_chunk *chunk);

/* router.cu, moe.cu */
void dt_cuda_router_forward(real *probability, real *weight, int *choice, const real *logits,
                            size_t rows, const struct dt_moe_shape *shape);
void dt_cuda_router_backward(real *d_logits, const real *d_weight, const real *probability,
                             const real *weight, const int *choice, const real *pull, double scale,
                             size_t rows, size_t time, const struct dt_moe_shape *shape);
void dt_cuda_rows_sort(real *sorted, const real *rows, const size_t *slot, const real *weight,
                       size_t count, size_t chosen, size_t channels);
void dt_cuda_rows_join(real *rows, const real *sorted, const size_t *slot, const real *weight,
                       size_t count, size_t chosen, size_t channels);
void dt_cuda_rows_dot(real *dots, const real *rows, const real *sorted, const size_t *slot,
                      size_t count, size_t chosen, size_t channels);

/* adamw.cu */
void dt_cuda_adamw(const struct dt_adamw_factors *factors, real *params, const real *grads,
                   real *first, real *second, size_t count);

/* reals.cu */
void dt_cuda_zero(real *values, size_t count);
void dt_cuda_copy(real *to, const real *from, size_t count);
void dt_cuda_add(real *to, const real *from, size_t count);
void dt_cuda_copy_rows(real *to, size_t to_row, const real *from, size_t from_row, size_t columns,
                       size_t rows);
void dt_cuda_add_keys(real *sum, const real *values, size_t batch, size_t keys, size_t time,
                      size_t row);
void dt_cuda_squares(double *sum, const real *values, size_t count);

#endif
