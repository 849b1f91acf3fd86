/* SPDX-License-Identifier: Apache-2.0 */
/* The kernels' part of the table of what can be computed (../kernels.h); the product and the wait
 * are not theirs. */
#include "kernel.cuh"

extern "C" void dt_cuda_fill(struct dt_kernels *k)
{
    k->embedding_forward = dt_cuda_embedding_forward;
    k->embedding_backward = dt_cuda_embedding_backward;
    k->layernorm_forward = dt_cuda_layernorm_forward;
    k->layernorm_backward = dt_cuda_layernorm_backward;
    k->rmsnorm_forward = dt_cuda_rmsnorm_forward;
    k->rmsnorm_backward = dt_cuda_rmsnorm_backward;
    k->bias_add = dt_cuda_bias_add;
    k->residual_add = dt_cuda_residual_add;
    k->column_sums = dt_cuda_column_sums;
    k->rope = dt_cuda_rope;
    k->attention_forward = dt_cuda_attention_forward;
    k->attention_backward = dt_cuda_attention_backward;
    k->attention_span_forward = dt_cuda_attention_span_forward;
    k->attention_span_backward = dt_cuda_attention_span_backward;
    k->gelu_forward = dt_cuda_gelu_forward;
    k->gelu_backward = dt_cuda_gelu_backward;
    k->swiglu_forward = dt_cuda_swiglu_forward;
    k->swiglu_backward = dt_cuda_swiglu_backward;
    k->router_forward = dt_cuda_router_forward;
    k->router_backward = dt_cuda_router_backward;
    k->loss_alone = dt_cuda_loss_alone;
    k->loss_raise = dt_cuda_loss_raise;
    k->loss_lower = dt_cuda_loss_lower;
    k->rows_sort = dt_cuda_rows_sort;
    k->rows_join = dt_cuda_rows_join;
    k->rows_dot = dt_cuda_rows_dot;
    k->adamw = dt_cuda_adamw;
    k->zero = dt_cuda_zero;
    k->copy = dt_cuda_copy;
    k->copy_rows = dt_cuda_copy_rows;
    k->add = dt_cuda_add;
    k->add_keys = dt_cuda_add_keys;
    k->squares = dt_cuda_squares;
}
