/* SPDX-License-Identifier: Apache-2.0 */
/* What depends on the vocabulary, at both ends of the model: the tokens' embedding, and the head with
 * its loss. Ranks of mesh->tensor share it by tokens (part.h), so that logits of a whole row are
 * nowhere, and sums over the ranks are of rows of channels, as in a layer. */
#ifndef DT_TRAIN_ENDS_H
#define DT_TRAIN_ENDS_H

#include "model.h"

/* out: the rows of the stream that are here (tp.h). */
void dt_ends_embed(struct dt_model *model, real *out, const int *tokens, const real *token_table,
                   const real *position_table, size_t batch);
/* From model->d_stream. */
void dt_ends_embed_backward(struct dt_model *model, real *d_token_table, real *d_position_table,
                            const int *tokens, size_t batch, bool add_token, bool add_position);

/* Of model->norm. Returns this rank's share of the sum of losses: one rank of tp has it, the others
 * 0. d_table NULL: the loss alone; else *d_norm gets the rows of the gradient that are here. */
struct dt_ends_loss {
    const int *targets;
    const real *table;
    real *d_table, *d_norm;
    double scale;
    bool add;
};
double dt_ends_loss(struct dt_model *model, struct dt_ends_loss *loss, size_t rows);

#endif
