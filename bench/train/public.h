/* SPDX-License-Identifier: Apache-2.0 */
/* A model as Hugging Face's transformers has it (GPT2LMHeadModel, LlamaForCausalLM, and with experts
 * MixtralForCausalLM): names and shapes of its tensors, of which ours are made, and its sizes in
 * config.json. */
#ifndef DT_TRAIN_PUBLIC_H
#define DT_TRAIN_PUBLIC_H

#include "layout.h"

/* One tensor there: rows of one of ours. */
struct dt_public_tensor {
    char name[80];
    size_t index,
        first; /* number of ours in the whole model's table, and where in it this begins */
    size_t rows, columns; /* as they lie in ours; columns 0: a vector of rows */
    bool turned;          /* there it is transposed (GPT-2's Conv1D) */
};

/* All tensors of the public model. layout: of the whole model. Caller frees; NULL: no memory. */
struct dt_public_tensor *dt_public_tensors(const struct dt_layout *layout, size_t *count);

/* Is there a public model of this shape? GPT-2 with grouped queries or experts has none. */
int dt_public_check(const struct dt_model_config *config, struct dt_error *err);

/* Sizes from the text of a config.json. `most`: positions that the model was made for; seq is that,
 * or 2048 where Llama's are more. What dt-train computes otherwise is refused. */
int dt_public_config(struct dt_model_config *config, int *most, const char *text, size_t length,
                     struct dt_error *err);

#endif
