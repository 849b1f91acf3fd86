/* SPDX-License-Identifier: Apache-2.0 */
/* All that is computed on activations, parameters and gradients, as a table: of the CPU (kernels.c,
 * whose functions are those of layers.h, moe.h and adamw.h), or of a GPU (cuda/). The model's code
 * calls through the table that its dt_blas names, and is one for both.
 *
 * A GPU works in the order of the calls, but behind them: the host reads what a call has written, and
 * writes what one reads, only after `wait`. Communication keeps to that order by itself. The CPU is
 * done when a call returns, and its `wait` does nothing. All arrays are of dt_reals or dt_memory
 * (reals.h), which the device reads as the host does.
 *
 * C and C++: the GPU's are written in the latter. */
#ifndef DT_TRAIN_KERNELS_H
#define DT_TRAIN_KERNELS_H

#include "adamw.h"
#include "layers.h"
#include "moe.h"

struct dt_kernels {
    /* layers.h, moe.h and adamw.h say what these do */
    void (*embedding_forward)(real *out, const int *tokens, const real *token_table,
                              const real *position_table, const size_t *places,
                              struct dt_range vocab, size_t batch, size_t time, size_t channels);
    void (*embedding_backward)(const struct dt_embedding_gradient *gradient, const real *d_out,
                               const int *tokens, const size_t *places, size_t batch, size_t time,
                               size_t channels);
    void (*layernorm_forward)(real *out, real *mean, real *inverse, const real *in,
                              const real *weight, const real *bias, size_t rows, size_t channels);
    void (*layernorm_backward)(real *d_in, real *d_weight, real *d_bias, const real *d_out,
                               const real *in, const real *weight, const real *mean,
                               const real *inverse, size_t rows, size_t channels, bool add);
    void (*rmsnorm_forward)(real *out, real *inverse, const real *in, const real *weight,
                            size_t rows, size_t channels);
    void (*rmsnorm_backward)(real *d_in, real *d_weight, const real *d_out, const real *in,
                             const real *weight, const real *inverse, size_t rows, size_t channels,
                             bool add);
    void (*bias_add)(real *values, const real *bias, size_t rows, size_t channels);
    void (*residual_add)(real *out, const real *residual, const real *values, const real *bias,
                         size_t rows, size_t channels);
    void (*column_sums)(real *sums, const real *values, size_t rows, size_t columns, bool add);
    void (*rope)(real *qkv, const real *table, size_t batch, size_t time, size_t heads, size_t head,
                 size_t stride, bool back);
    void (*attention_forward)(const struct dt_blas *blas, real *out, real *log_sum, const real *qkv,
                              real *work, const struct dt_attention_shape *shape);
    void (*attention_backward)(const struct dt_blas *blas, real *d_qkv, const real *d_out,
                               const real *out, const real *log_sum, const real *qkv, real *work,
                               const struct dt_attention_shape *shape);
    void (*attention_span_forward)(const struct dt_blas *blas, real *out, real *log_sum,
                                   const struct dt_attention_input *in, real *work,
                                   const struct dt_attention_shape *shape,
                                   const struct dt_attention_span *span);
    void (*attention_span_backward)(const struct dt_blas *blas,
                                    const struct dt_attention_gradient *d, const real *d_out,
                                    const real *out, const real *log_sum,
                                    const struct dt_attention_input *in, real *work,
                                    const struct dt_attention_shape *shape,
                                    const struct dt_attention_span *span);
    void (*gelu_forward)(real *out, real *values, const real *bias, size_t rows, size_t channels);
    void (*gelu_backward)(real *d_values, const real *values, size_t count);
    void (*swiglu_forward)(real *out, const real *values, size_t rows, size_t hidden);
    void (*swiglu_backward)(real *d_values, const real *d_out, const real *values, size_t rows,
                            size_t hidden);
    void (*router_forward)(real *probability, real *weight, int *choice, const real *logits,
                           size_t rows, const struct dt_moe_shape *shape);
    void (*router_backward)(real *d_logits, const real *d_weight, const real *probability,
                            const real *weight, const int *choice, const real *pull, double scale,
                            size_t rows, size_t time, const struct dt_moe_shape *shape);
    void (*loss_alone)(const struct dt_loss_chunk *chunk);
    void (*loss_raise)(const struct dt_loss_chunk *chunk);
    void (*loss_lower)(const struct dt_loss_chunk *chunk);
    void (*rows_sort)(real *sorted, const real *rows, const size_t *slot, const real *weight,
                      size_t count, size_t chosen, size_t channels);
    void (*rows_join)(real *rows, const real *sorted, const size_t *slot, const real *weight,
                      size_t count, size_t chosen, size_t channels);
    void (*rows_dot)(real *dots, const real *rows, const real *sorted, const size_t *slot,
                     size_t count, size_t chosen, size_t channels);
    void (*adamw)(const struct dt_adamw_factors *factors, real *params, const real *grads,
                  real *first, real *second, size_t count);

    /* Matrix product, as dt_blas_all. */
    void (*product)(const struct dt_blas *blas, const struct dt_product *product);

    /* Arrays. copy: of areas that do not overlap, or are the same. */
    void (*zero)(real *at, size_t count);
    void (*copy)(real *to, const real *from, size_t count);
    void (*copy_rows)(real *to, size_t to_row, const real *from, size_t from_row, size_t columns,
                      size_t rows);
    void (*add)(real *sum, const real *values, size_t count);
    /* Of each of `batch` sequences of `time` rows, of `row` reals, the first `keys`. */
    void (*add_keys)(real *sum, const real *values, size_t batch, size_t keys, size_t time,
                     size_t row);
    void (*squares)(double *sum, const real *values, size_t count);

    /* Until all that was called is done. -1: some of it failed, and what was written is worthless. */
    int (*wait)(struct dt_error *err);
};

extern const struct dt_kernels dt_kernels_cpu;

#endif
