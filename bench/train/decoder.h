/* SPDX-License-Identifier: Apache-2.0 */
/* The model one token after another, for sampling: keys and values of the tokens before are kept, so
 * that a token costs one row of each product. Not for training. */
#ifndef DT_TRAIN_DECODER_H
#define DT_TRAIN_DECODER_H

#include "blas.h"
#include "layout.h"
#include "moe.h"

struct dt_decoder {
    const struct dt_layout *layout; /* of the whole model */
    const struct dt_blas *blas;
    real *params;
    size_t place;         /* tokens that were taken */
    real *memory, *cache; /* cache: by layer, keys and values of seq rows */
    real *stream, *norm, *qkv, *attended, *narrow, *up, *activated, *scores, *rope;
    struct dt_moe moe; /* with experts: one row through them */
    struct dt_moe_kept kept;
    struct dt_comm alone;
    real *logits; /* vocab: of the token after the last that was taken */
};

/* Layout, blas and params must outlive it. */
int dt_decoder_init(struct dt_decoder *decoder, const struct dt_layout *layout, real *params,
                    const struct dt_blas *blas, struct dt_error *err);
void dt_decoder_fini(struct dt_decoder *decoder);

/* Take a token, which makes `logits`. There is room for seq of them (decoder->place counts). */
void dt_decoder_take(struct dt_decoder *decoder, int token);

/* Forget them all. */
void dt_decoder_restart(struct dt_decoder *decoder);

#endif
