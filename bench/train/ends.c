/* SPDX-License-Identifier: Apache-2.0 */
/* Embedding and head over the ranks that share the vocabulary; see ends.h. */
#include "ends.h"

#include "kernels.h"
#include "tp.h"

void dt_ends_embed(struct dt_model *model, real *out, const int *tokens, const real *token_table,
                   const real *position_table, size_t batch)
{
    const struct dt_comm *tensor = model->mesh->tensor;
    const size_t rows = batch * model->time, c = model->here.channels;
    bool alone = tensor->size == 1;
    real *part = alone ? out : model->d_narrow;
    /* positions are added once */
    model->blas->kernels->embedding_forward(
        part, tokens, token_table, tensor->rank == 0 ? position_table : NULL, model->places,
        model->here.vocab, batch, model->time, c);
    if (alone)
        return;
    dt_tp_sum_start(model, part, rows);
    model->blas->kernels->copy(out, dt_tp_sum_finish(model, part, rows),
                               dt_tp_rows(model, rows) * c);
}

void dt_ends_embed_backward(struct dt_model *model, real *d_token_table, real *d_position_table,
                            const int *tokens, size_t batch, bool add_token, bool add_position)
{
    const struct dt_embedding_gradient gradient = {.token_table = d_token_table,
                                                   .position_table = d_position_table,
                                                   .vocab = model->tied ? (struct dt_range){0}
                                                                        : model->here.vocab,
                                                   .seq = (size_t)model->config.seq,
                                                   .add_token = add_token,
                                                   .add_position = add_position};
    const real *d_out = dt_tp_all(model, model->d_stream, batch * model->time);
    model->blas->kernels->embedding_backward(&gradient, d_out, tokens, model->places, batch,
                                             model->time, model->here.channels);
    if (model->tied && !model->failed)
        dt_model_note(model,
                      dt_tied_note(model->tied, d_out, tokens, batch * model->time, &model->error));
}

double dt_ends_loss(struct dt_model *model, struct dt_ends_loss *l, size_t rows)
{
    struct dt_comm *tensor = model->mesh->tensor;
    const struct dt_head head = {.blas = model->blas,
                                 .tensor = tensor,
                                 .vocab = model->here.vocab,
                                 .channels = model->here.channels,
                                 .table = l->table,
                                 .d_table = l->d_table,
                                 .work = model->logits,
                                 .row_losses = model->row_losses,
                                 .scale = l->scale,
                                 .add = l->add};
    real *part = l->d_table ? model->d_narrow : NULL;
    const real *in = dt_tp_all(model, model->norm, rows);
    double loss = 0;
    if (!model->failed)
        model->failed = dt_loss(&head, part, in, l->targets, rows, &loss, &model->error) < 0;
    if (part) {
        dt_tp_sum_start(model, part, rows);
        l->d_norm = dt_tp_sum_finish(model, part, rows);
    }
    return tensor->rank == 0 ? loss : 0;
}
