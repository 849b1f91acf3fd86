/* SPDX-License-Identifier: Apache-2.0 */
/* The layers, one file each, forward and backward, on plain row-major arrays.
 *
 * Names: `rows` is batch x time; `out_` and `in_` hold activations; d_X is the gradient of the loss
 * with respect to X. A backward function writes d_ of its input, unless it says otherwise; it writes
 * the gradients of its parameters, or with `add` adds to them (later micro-batches of a step). A
 * bias, and its gradient, may be NULL: none. Sums run in an order that does not depend
 * on the number of threads, so that two runs agree bit for bit. */
#ifndef DT_TRAIN_LAYERS_H
#define DT_TRAIN_LAYERS_H

#include "blas.h"
#include "comm.h"
#include "part.h"
#include "real.h"

/* embedding.c: token table (rows of the tokens in `vocab` x channels) plus position table (seq x
 * channels, or NULL). A token whose row is another rank's counts as 0. places: where in its sample each
 * of `time` rows lies. */
void dt_embedding_forward(real *out, const int *tokens, const real *token_table,
                          const real *position_table, const size_t *places, struct dt_range vocab,
                          size_t batch, size_t time, size_t channels);
struct dt_embedding_gradient {
    real *token_table, *position_table;
    struct dt_range vocab;
    size_t seq;                   /* rows of position_table */
    bool add_token, add_position; /* add to what is there (a tied head has written the tokens') */
};
void dt_embedding_backward(const struct dt_embedding_gradient *gradient, const real *d_out,
                           const int *tokens, const size_t *places, size_t batch, size_t time,
                           size_t channels);

/* layernorm.c: mean and inverse deviation of each row are kept for backward. */
void dt_layernorm_forward(real *out, real *mean, real *inverse, const real *in, const real *weight,
                          const real *bias, size_t rows, size_t channels);
/* Adds to d_in: the residual stream's gradient is there already. */
void dt_layernorm_backward(real *d_in, real *d_weight, real *d_bias, const real *d_out,
                           const real *in, const real *weight, const real *mean,
                           const real *inverse, size_t rows, size_t channels, bool add);

/* rmsnorm.c: as LayerNorm, without mean and bias. Adds to d_in, too. */
void dt_rmsnorm_forward(real *out, real *inverse, const real *in, const real *weight, size_t rows,
                        size_t channels);
void dt_rmsnorm_backward(real *d_in, real *d_weight, const real *d_out, const real *in,
                         const real *weight, const real *inverse, size_t rows, size_t channels,
                         bool add);

/* linear.c: out = in * weight^T; weight is outputs x inputs. The bias is added by whoever reads
 * `out` next, in the same pass. Backward is two halves, so that d_in can be on its way to other ranks
 * while the second is made; dt_linear_backward is both. */
void dt_linear_forward(const struct dt_blas *blas, real *out, const real *in, const real *weight,
                       size_t rows, size_t inputs, size_t outputs);
void dt_linear_backward_in(const struct dt_blas *blas, real *d_in, const real *d_out,
                           const real *weight, size_t rows, size_t inputs, size_t outputs);
void dt_linear_backward_weight(const struct dt_blas *blas, real *d_weight, real *d_bias,
                               const real *d_out, const real *in, size_t rows, size_t inputs,
                               size_t outputs, bool add);
void dt_linear_backward(const struct dt_blas *blas, real *d_in, real *d_weight, real *d_bias,
                        const real *d_out, const real *in, const real *weight, size_t rows,
                        size_t inputs, size_t outputs, bool add);
void dt_bias_add(real *values, const real *bias, size_t rows, size_t channels);
/* sums (+)= of each column, over the rows */
void dt_column_sums(real *sums, const real *values, size_t rows, size_t columns, bool add);
/* out = residual + values + bias */
void dt_residual_add(real *out, const real *residual, const real *values, const real *bias,
                     size_t rows, size_t channels);

/* rope.c: rotary positions. Channel i of a head and channel i + head / 2 are turned by the angle
 * place * base^(-2i / head); this pairing is that of the public Llama weights in safetensors. table:
 * time x head reals, cosines and sines, for the rows at these places of a sample (NULL: at its
 * beginning). */
void dt_rope_table(real *table, const size_t *places, size_t time, size_t head, double base);
/* Turn the first `heads` heads of each row of qkv in place; back: the other way, for gradients. */
void dt_rope(real *qkv, const real *table, size_t batch, size_t time, size_t heads, size_t head,
             size_t stride, bool back);

/* attention.c: causal, by blocks of queries; per query only the log of the sum of exponentials is
 * kept, probabilities are made again in backward. qkv rows hold the heads' queries, then the keys,
 * then the values of kv_heads, each of which serves heads / kv_heads queries' heads. */
struct dt_attention_shape {
    size_t batch, time, heads, kv_heads, head; /* head: channels of one */
};
size_t dt_attention_work_size(size_t time); /* reals, per thread */
void dt_attention_forward(const struct dt_blas *blas, real *out, real *log_sum, const real *qkv,
                          real *work, const struct dt_attention_shape *shape);
void dt_attention_backward(const struct dt_blas *blas, real *d_qkv, const real *d_out,
                           const real *out, const real *log_sum, const real *qkv, real *work,
                           const struct dt_attention_shape *shape);

/* The same for keys that come block by block (ring.h): a run of each sequence's queries against the
 * first `keys` of a block. Every array has `time` rows a sequence; q_row, kv_row: reals from row to
 * row. */
struct dt_attention_input {
    const real *q, *k, *v;
    size_t q_row, kv_row;
};
struct dt_attention_gradient {
    real *d_q, *d_k, *d_v; /* rows as of q, k, v */
};
struct dt_attention_span {
    size_t first_query, queries, keys;
    bool causal; /* query i of a sequence sees keys 0 to i; else all */
    bool add;    /* forward: to what out and log_sum hold of other keys; backward: to d_q */
    void (*between)(void *context); /* called by the first thread now and then; NULL: nothing */
    void *context;
};
struct dt_attention_input dt_attention_input(const real *qkv,
                                             const struct dt_attention_shape *shape);
void dt_attention_span_forward(const struct dt_blas *blas, real *out, real *log_sum,
                               const struct dt_attention_input *in, real *work,
                               const struct dt_attention_shape *shape,
                               const struct dt_attention_span *span);
/* Writes d_k and d_v of the span's keys. out and log_sum: over all keys. */
void dt_attention_span_backward(const struct dt_blas *blas, const struct dt_attention_gradient *d,
                                const real *d_out, const real *out, const real *log_sum,
                                const struct dt_attention_input *in, real *work,
                                const struct dt_attention_shape *shape,
                                const struct dt_attention_span *span);

/* gelu.c: `values` gets the bias added first, and keeps it for backward; bias NULL: it has it. */
void dt_gelu_forward(real *out, real *values, const real *bias, size_t rows, size_t channels);
void dt_gelu_backward(real *d_values /* in: d_out */, const real *values, size_t count);

/* swiglu.c: values holds gate and value of each row side by side (2 x hidden); out is
 * gate / (1 + exp(-gate)) * value. */
void dt_swiglu_forward(real *out, const real *values, size_t rows, size_t hidden);
void dt_swiglu_backward(real *d_values, const real *d_out, const real *values, size_t rows,
                        size_t hidden);

/* loss.c: head (logits = in * table^T), softmax and cross-entropy in chunks of rows, so that logits
 * of the whole batch never exist. `loss` gets the sum of the losses of all rows. With d_in, gradients
 * times `scale` are written to d_in and d_table (with `add`, added to d_table). Where ranks share the
 * vocabulary, the loss is that over all of it, and d_in a part of what is to be summed. */
struct dt_head {
    const struct dt_blas *blas;
    struct dt_comm *tensor; /* the ranks with the other tokens */
    struct dt_range vocab;  /* the tokens here: rows of the tables */
    size_t channels;
    const real *table;
    real *d_table, *work; /* work: dt_loss_work_size reals */
    double *row_losses;
    double scale;
    bool add;
};
size_t dt_loss_work_size(size_t rows, size_t vocab, int ranks);

/* The rows of a chunk, between the head's products. What a rank knows of a row: its highest logit, the
 * sum of exponentials less that, and the logit of the target, 0 where that is another rank's. */
struct dt_seen {
    real top, sum, right;
};
struct dt_loss_chunk {
    real *logits;
    size_t stride, count; /* reals from row to row; rows */
    const int *targets;
    struct dt_range vocab;
    real scale;
    bool gradient;        /* logits become the gradient with respect to them */
    double *losses;       /* of each row */
    struct dt_seen *seen; /* of all ranks, rank by rank `count` of them */
    int rank, ranks;
};
/* One rank has the whole vocabulary. Where several share it: raise writes what this one knows (and may
 * leave exponentials in place of logits, for lower), lower ends it when all that is gathered. */
void dt_loss_alone(const struct dt_loss_chunk *chunk);
void dt_loss_raise(const struct dt_loss_chunk *chunk);
void dt_loss_lower(const struct dt_loss_chunk *chunk);

int dt_loss(const struct dt_head *head, real *d_in, const real *in, const int *targets, size_t rows,
            double *loss, struct dt_error *err);

#endif
